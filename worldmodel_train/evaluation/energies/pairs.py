"""Pairs of what was and what comes of it: those that are, and those made up of two."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from worldmodel_train.evaluation.samples import Samples, rows
from worldmodel_train.types import Clips, Trajectories


class Pair(NamedTuple):
    """Samples of a context, and those of the target beside it."""

    context: Samples
    target: Samples


Mismatch = Callable[[Samples, torch.Generator], Pair]
"""From samples to pairs that do not go together."""


def together(samples: Samples) -> Pair:
    """Each sample with itself."""
    return Pair(samples, samples)


def mismatches(samples: Samples) -> Mapping[str, Mismatch]:
    """The ways in which samples of this kind can fail to go together, by name."""
    return MappingProxyType(dict(_ways(samples)))


def _ways(samples: Samples) -> Iterator[tuple[str, Mismatch]]:
    yield "other sample", _other_sample
    if isinstance(samples, Trajectories):
        yield "other actions", _other_actions
    elif samples.pixels.shape[1] >= 4:  # pictures in the second half have an order
        yield "time shuffled", _shuffled
        yield "time reversed", _reversed


def _other_sample(samples: Samples, generator: torch.Generator) -> Pair:
    """The target of another one."""
    return Pair(samples, rows(samples, _others(samples.num_samples, generator)))


def _other_actions(samples: Samples, generator: torch.Generator) -> Pair:
    """The same observations, but what was done, and the states, are those of another window."""
    assert isinstance(samples, Trajectories)
    others = rows(samples, _others(samples.num_samples, generator))
    assert isinstance(others, Trajectories)
    return Pair(replace(samples, actions=others.actions, states=others.states), samples)


def _shuffled(samples: Samples, generator: torch.Generator) -> Pair:
    """The pictures of the second half in another order, alike for all."""
    count = _second_half(samples)
    order = torch.arange(count)
    while torch.equal(order, torch.arange(count)):
        order = torch.randperm(count, generator=generator)
    return Pair(samples, _reordered(samples, order))


def _reversed(samples: Samples, generator: torch.Generator) -> Pair:
    """The pictures of the second half from the last to the first."""
    del generator
    return Pair(samples, _reordered(samples, torch.arange(_second_half(samples)).flip(0)))


def _second_half(samples: Samples) -> int:
    """Pictures in it."""
    assert isinstance(samples, Clips)
    return samples.pixels.shape[1] - samples.pixels.shape[1] // 2


def _reordered(samples: Samples, order: Int64[Tensor, "t"]) -> Clips:
    assert isinstance(samples, Clips)
    first = samples.pixels.shape[1] - len(order)
    frames = torch.cat((torch.arange(first), first + order)).to(samples.pixels.device)
    return replace(samples, pixels=samples.pixels[:, frames])


def _others(count: int, generator: torch.Generator) -> Int64[Tensor, "b"]:
    """For each sample another one, each once: all are moved on in a random circle."""
    circle = torch.randperm(count, generator=generator)
    others = torch.empty_like(circle)
    others[circle] = circle.roll(1)
    return others
