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
from dataclasses import dataclass
from math import prod
from typing import Any, Generic

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from worldmodel_train.batch import Batch
from worldmodel_train.types import ContentT

_FREE, _TAKEN = 0, 1

Shape = tuple[int, ...]


class BatchMemory:
    """The memory of a loading process's batches."""

    def __init__(self, *, most: int) -> None:
        self._kept: list[UInt8[Tensor, "_"]] = []
        self._most = most
        """Batches whose memory is kept; if more of them are held, the others' is given up."""

    def tensors(self, shapes: Sequence[Shape]) -> list[UInt8[Tensor, "..."]]:
        """Tensors of one batch that hold anything; to be sent as a `Parcel`."""
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


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a tensor lies in the batch's memory."""

    offset: int
    """Bytes."""
    shape: Shape
    dtype: torch.dtype


class Parcel(Generic[ContentT]):
    """A batch with tensors in a `BatchMemory`; the other end receives the batch."""

    def __init__(self, batch: Batch[ContentT]) -> None:
        self._batch = batch

    def __reduce__(self) -> tuple[Callable[..., Batch[ContentT]], tuple[Any, ...]]:
        memory = torch.empty(0, dtype=torch.uint8)
        parts: list[_Place | np.ndarray] = []

        def take_out(tensor: Tensor) -> Tensor:
            if tensor.is_shared():
                memory.set_(tensor.untyped_storage())
                offset = int(tensor.storage_offset()) * tensor.itemsize
                place = _Place(offset=offset, shape=tuple(tensor.shape), dtype=tensor.dtype)
                parts.append(place)
            else:
                # small: as an array it travels in the message, and needs no file
                parts.append(tensor.numpy())
            return tensor.to("meta")

        return _receive, (self._batch.map(take_out), memory, parts)


def _receive(
    described: Batch[ContentT], memory: UInt8[Tensor, "_"], parts: Sequence[_Place | np.ndarray]
) -> Batch[ContentT]:
    """The batch, whose memory is free again when no tensor over it is left."""
    # Tensors made of an array hold that very array until their storage is gone.
    held = memory.numpy()
    if len(memory):
        weakref.finalize(held, _release, memory, os.getpid()).atexit = False
    whole, left = torch.from_numpy(held), iter(parts)

    def put_back(_: Tensor) -> Tensor:
        part = next(left)
        if isinstance(part, _Place):
            num_bytes = prod(part.shape) * part.dtype.itemsize
            flat = whole[part.offset : part.offset + num_bytes].view(part.dtype)
            return flat.view(part.shape)
        return torch.from_numpy(part)

    return described.map(put_back)


def _release(memory: UInt8[Tensor, "_"], owner: int) -> None:
    """Marks memory that nobody looks at any more; in a fork it is still the owner's."""
    if os.getpid() == owner:
        memory[-1] = _FREE


def _split(memory: UInt8[Tensor, "_"], shapes: Sequence[Shape]) -> list[UInt8[Tensor, "..."]]:
    """Clips of these shapes, one behind the other from the beginning of the memory."""
    sizes = [prod(shape) for shape in shapes]
    parts = memory[: sum(sizes)].split(sizes)
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
