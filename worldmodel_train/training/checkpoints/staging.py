"""Tensors of a GPU on their way to the host's memory, many in one wait."""

from collections.abc import Callable

import torch
from torch import Tensor

_BUFFER = 1 << 28
"""Bytes of page-locked memory: only from there does the host go on while a copy runs. All of a
rank's state would be too much to keep from the system."""


class Staging:
    """Copies through a buffer; what `copy` gives is filled by the next `flush` at the latest."""

    def __init__(self, size: int = _BUFFER, *, wait: Callable[[], None] | None = None) -> None:
        self._size = size
        self._wait = wait or torch.cuda.synchronize
        self._buffer: Tensor | None = None
        self._used = 0
        self._under_way: list[tuple[Tensor, Tensor]] = []

    def copy(self, source: Tensor) -> Tensor:
        """A copy of `source` in the host's memory; at once, where it is there."""
        if source.device.type == "cpu":
            return source.to("cpu", copy=True)
        return self.stage(source)

    def stage(self, source: Tensor) -> Tensor:
        """A tensor like `source` in the host's memory, to be filled."""
        target = torch.empty(source.shape, dtype=source.dtype)
        parts, places = (
            tensor.flatten().view(torch.uint8).split(self._size) for tensor in (source, target)
        )
        for part, place in zip(parts, places, strict=True):
            staged = self._room(part.numel(), pinned=source.is_cuda)
            staged.copy_(part, non_blocking=True)
            self._under_way.append((staged, place))
        return target

    def flush(self) -> None:
        """Waits for what is under way, and moves it out of the buffer."""
        if self._under_way:
            self._wait()
        for staged, place in self._under_way:
            place.copy_(staged)
        self._under_way, self._used = [], 0

    def _room(self, size: int, *, pinned: bool) -> Tensor:
        if self._buffer is None:
            self._buffer = torch.empty(self._size, dtype=torch.uint8, pin_memory=pinned)
        if self._used + size > self._size:
            self.flush()
        room = self._buffer[self._used : self._used + size]
        self._used += size
        return room
