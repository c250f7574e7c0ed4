"""Losses of an objective on fixed samples, changing nothing about it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.samples import Samples, rows
from worldmodel_train.evaluation.task_result import Measured
from worldmodel_train.protocols import Objective, Preparation
from worldmodel_train.types import Content

TOTAL = "loss"


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Fixed samples, and how a method has them."""

    samples: Samples
    size: int
    prepare: Preparation[Any, Any]

    def of(self, seed: int) -> Iterator[tuple[int, Content]]:
        """Each batch as it is prepared under this seed, with the number of its samples."""
        for first in range(0, self.samples.num_samples, self.size):
            part = rows(self.samples, slice(first, first + self.size))
            yield len(part.samples), self.prepare([part], seed=seed, step=first)


def measure_losses(
    objective: Objective[Any], batches: Batches, seeds: Sequence[int]
) -> dict[str, Measured]:
    """The loss and each of its terms by name, once for each seed.

    torch's global generators are seeded for what the objective draws, and left as they were.
    """
    values: dict[str, list[float]] = defaultdict(list)
    with frozen(objective) as device:
        for seed in seeds:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(seed)
                for name, value in _means(objective, batches.of(seed), device).items():
                    values[name].append(value)
    return {name: Measured(values=tuple(over_seeds)) for name, over_seeds in values.items()}


def _means(
    objective: Objective[Any], batches: Iterator[tuple[int, Content]], device: torch.device
) -> Mapping[str, float]:
    sums: dict[str, float] = defaultdict(float)
    total = 0
    for count, content in batches:
        losses = objective.training_losses(content.map(lambda tensor: tensor.to(device)))
        for name, value in {TOTAL: losses.total, **losses.terms}.items():
            sums[name] += count * float(value)
        total += count
    return {name: summed / total for name, summed in sums.items()}
