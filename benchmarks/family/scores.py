"""What is compared of a run: what probes answer, what energies tell, rank, time and memory."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from worldmodel_train.evaluation.result import load_result
from worldmodel_train.evaluation.task_result import UNTRAINED, Number
from worldmodel_train.recipe import load_stored_recipe
from worldmodel_train.training.checkpoints.files import RECIPE
from worldmodel_train.training.checkpoints.folder import find_checkpoint
from worldmodel_train.training.metrics.sinks import METRICS

COST = "cost.json"
_PROBED = re.compile(r"(?P<question>.+), linear, 2x2x2")
_ENERGY = re.compile(r"energy AUC, (?P<way>.+)")
_LOSS = re.compile(r"loss of (?P<method>.+)")
PIXELS = ("pooled 8x8 pixels", "pixels of the last picture")
"""What needs no model: for probes, and for energies."""


class Cost(NamedTuple):
    """Of training and measuring together."""

    cpu_seconds: float
    peak_bytes: int
    """Of the largest process."""


@dataclass(frozen=True, kw_only=True)
class FamilyRun:
    """A run of one recipe."""

    recipe: str
    seed: int
    run_dir: Path


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Of one run, or of what a run is compared with."""

    probed: Mapping[str, float]
    """Accuracy of the linear probe of each question."""
    energy: Mapping[str, float]
    """Area under the ROC curve of each way of not going together."""
    loss: float | None = None
    """On films that were not trained on, as a share of what it was before training; None where one
    of them is no more than 0, as a density's may be."""
    rank: float | None = None
    """RankMe of the monitored latents at the end of training."""
    cost: Cost | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """All runs of one recipe, and what their encoders knew before training."""

    recipe: str
    method: str
    steps: int
    trained: Sequence[Scores]
    untrained: Sequence[Scores]
    pixels: Scores


def read_runs(runs: Iterable[FamilyRun]) -> list[Method]:
    """The methods in the order of the runs."""
    by_recipe: dict[str, list[FamilyRun]] = {}
    for run in runs:
        by_recipe.setdefault(run.recipe, []).append(run)
    return [_method(recipe, seeds) for recipe, seeds in by_recipe.items()]


def _method(recipe: str, runs: Sequence[FamilyRun]) -> Method:
    stored = load_stored_recipe(find_checkpoint(runs[0].run_dir, "run") / RECIPE)
    numbers = [_numbers(run) for run in runs]
    return Method(
        recipe=recipe,
        method=stored.method.name,
        steps=stored.train.steps,
        trained=[_trained(run, of) for run, of in zip(runs, numbers, strict=True)],
        untrained=[_baseline(of, (UNTRAINED,)) for of in numbers],
        pixels=_baseline(numbers[0], PIXELS),
    )


def _numbers(run: FamilyRun) -> list[Number]:
    measured = load_result(run.run_dir).measurements
    return [number for one in measured for number in one.result.numbers]


def _trained(run: FamilyRun, numbers: Sequence[Number]) -> Scores:
    last = json.loads((run.run_dir / METRICS).read_text().splitlines()[-1])
    return Scores(
        probed={name: number.trained.mean for name, number in _named(_PROBED, numbers).items()},
        energy={name: number.trained.mean for name, number in _named(_ENERGY, numbers).items()},
        loss=_loss(numbers),
        rank=last["monitors"].get("target_rankme"),
        cost=Cost(**json.loads((run.run_dir / COST).read_text())),
    )


def _loss(numbers: Sequence[Number]) -> float | None:
    """Of films that were not trained on, as a share of the untrained model's."""
    for number in _named(_LOSS, numbers).values():
        trained, untrained = number.trained.mean, number.baselines[UNTRAINED].mean
        return trained / untrained if min(trained, untrained) > 0 else None
    return None


def _baseline(numbers: Sequence[Number], names: Collection[str]) -> Scores:
    """What one of these baselines scores, where a number has it."""
    return Scores(
        probed=_of(names, _named(_PROBED, numbers)), energy=_of(names, _named(_ENERGY, numbers))
    )


def _of(names: Collection[str], numbers: Mapping[str, Number]) -> dict[str, float]:
    return {
        asked: score.mean
        for asked, number in numbers.items()
        for name, score in number.baselines.items()
        if name in names
    }


def _named(pattern: re.Pattern[str], numbers: Iterable[Number]) -> dict[str, Number]:
    """Those whose names match, by what the pattern's one group has."""
    matches = ((pattern.fullmatch(number.name), number) for number in numbers)
    return {match.group(1): number for match, number in matches if match is not None}
