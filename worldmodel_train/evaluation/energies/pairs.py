"""Pairs of what was and what comes of it: those that are, and those made up of two."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from worldmodel_train.evaluation.samples import Samples, rows
from worldmodel_train.types import Audio, Clips, Trajectories


class Pair(NamedTuple):
    """Samples of a context, and those of the target beside it."""

    context: Samples
    target: Samples


_PIECES = 8  # of half a stretch of sound

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
    elif isinstance(samples, Audio):
        yield "time shuffled", _sound_shuffled
        yield "time reversed", _sound_reversed
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


def _sound_shuffled(samples: Samples, generator: torch.Generator) -> Pair:
    """The second half in eighths of another order, alike for all."""
    assert isinstance(samples, Audio)
    order = torch.arange(_PIECES)
    while torch.equal(order, torch.arange(_PIECES)):
        order = torch.randperm(_PIECES, generator=generator)
    first, second = _halves(samples)
    pieces = second.tensor_split(_PIECES, dim=1)
    shuffled = torch.cat((first, *(pieces[piece] for piece in order.tolist())), dim=1)
    return Pair(samples, replace(samples, waveform=shuffled))


def _sound_reversed(samples: Samples, generator: torch.Generator) -> Pair:
    """The second half from its end to its beginning."""
    del generator
    assert isinstance(samples, Audio)
    first, second = _halves(samples)
    return Pair(samples, replace(samples, waveform=torch.cat((first, second.flip(1)), dim=1)))


def _halves(samples: Audio) -> tuple[Float[Tensor, "b _"], Float[Tensor, "b _"]]:
    middle = samples.waveform.shape[1] // 2
    return samples.waveform[:, :middle], samples.waveform[:, middle:]


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
