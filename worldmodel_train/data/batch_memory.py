"""Batches from a loading process to the training process, in memory that is used again and again.

The first touch of a fresh page costs fifty times what writing it costs. So a loading process keeps
the memory of its batches. The last byte of each says whether anybody may still look at it:

- The loading process sets it when it takes the memory, and never takes memory whose byte is set.
- The training process clears it when the last tensor over the clips is gone, wherever views of
  them have gone. A batch that is lost on the way stays taken, and its memory is not used again.

Each batch is sent once, so nobody else can clear the byte. A process that the training process
forks must not read the batches it inherits: they are the training process's to give back.
"""

import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from worldmodel_train.types import ClipGroup, Masks, VideoBatch

_FREE, _TAKEN = 0, 1

Shape = tuple[int, ...]


class BatchMemory:
    """The memory of a loading process's batches."""

    def __init__(self, *, most: int) -> None:
        self._kept: list[UInt8[Tensor, "_"]] = []
        self._most = most
        """Batches whose memory is kept; if more of them are held, the others' is given up."""

    def clips(self, shapes: Sequence[Shape]) -> list[UInt8[Tensor, "..."]]:
        """Clips of one batch, group by group, that hold anything; to be sent as a `Parcel`."""
        memory = self._take(sum(map(prod, shapes)) + 1)
        memory[-1] = _TAKEN
        return _split(memory, shapes)

    def _take(self, size: int) -> UInt8[Tensor, "_"]:
        """Shared memory that nobody looks at."""
        taken = [memory for memory in self._kept if memory[-1].item() != _FREE]
        for memory in self._kept:
            if memory[-1].item() == _FREE and len(memory) >= size:
                return memory
        memory = torch.empty(size, dtype=torch.uint8).share_memory_()
        self._kept = [*taken, memory] if len(taken) < self._most else taken  # drops the too small
        return memory


class Parcel:
    """A batch whose clips are a `BatchMemory`'s; the other end receives a `VideoBatch`."""

    def __init__(self, batch: VideoBatch) -> None:
        self._batch = batch

    def __reduce__(self) -> tuple[Callable[..., VideoBatch], tuple[Any, ...]]:
        groups = self._batch.groups
        memory = torch.empty(0, dtype=torch.uint8).set_(groups[0].clips.untyped_storage())
        # masks are small: as arrays they travel in the message, and need no file each
        masks = [[_arrays(masks) for masks in group.masks] for group in groups]
        shapes = [tuple(group.clips.shape) for group in groups]
        lengths = [group.length_index for group in groups]
        described = list(zip(lengths, masks, strict=True))
        return _receive, (replace(self._batch, groups=()), memory, shapes, described)


def _receive(
    rest: VideoBatch,
    memory: UInt8[Tensor, "_"],
    shapes: Sequence[Shape],
    described: Sequence[tuple[int, Sequence[dict[str, np.ndarray]]]],
) -> VideoBatch:
    """The batch, whose memory is free again when no tensor over its clips is left."""
    # Tensors made of an array hold that very array until their storage is gone.
    held = memory.numpy()
    weakref.finalize(held, _release, memory, os.getpid()).atexit = False
    groups = tuple(
        ClipGroup(clips=clips, masks=tuple(map(_masks, arrays)), length_index=length)
        for clips, (length, arrays) in zip(
            _split(torch.from_numpy(held), shapes), described, strict=True
        )
    )
    return replace(rest, groups=groups)


def _release(memory: UInt8[Tensor, "_"], owner: int) -> None:
    """Marks memory that nobody looks at any more; in a fork it is still the owner's."""
    if os.getpid() == owner:
        memory[-1] = _FREE


def _split(memory: UInt8[Tensor, "_"], shapes: Sequence[Shape]) -> list[UInt8[Tensor, "..."]]:
    """Clips of these shapes, one behind the other from the beginning of the memory."""
    sizes = [prod(shape) for shape in shapes]
    parts = memory[: sum(sizes)].split(sizes)
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _arrays(masks: Masks) -> dict[str, np.ndarray]:
    return {name: ids.numpy() for name, ids in vars(masks).items() if ids is not None}


def _masks(arrays: dict[str, np.ndarray]) -> Masks:
    return Masks(**{name: torch.from_numpy(array) for name, array in arrays.items()})
