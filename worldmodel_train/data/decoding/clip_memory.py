"""Memory that a loader and its decoding process share: clips are too large to go through a pipe."""

import fcntl
import mmap
import os
import sys
import tempfile
from collections.abc import Sequence
from math import prod

import numpy as np
from jaxtyping import UInt8


class ClipMemory:
    """The file that both ends map; one end makes it, the other knows it by its descriptor."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _new_file() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def arrays(self, shapes: Sequence[tuple[int, ...]]) -> list[UInt8[np.ndarray, "..."]]:
        """Arrays of these shapes, one behind the other; the next call gives the same memory."""
        ends = np.cumsum([prod(shape) for shape in shapes]).tolist()
        shared = np.frombuffer(self._mapped(ends[-1]), dtype=np.uint8)
        begins = [0, *ends[:-1]]
        return [
            shared[begin:end].reshape(shape)
            for begin, end, shape in zip(begins, ends, shapes, strict=True)
        ]

    def _mapped(self, size: int) -> mmap.mmap:
        if self._map is None or len(self._map) < size:
            if os.fstat(self.descriptor).st_size < size:
                os.ftruncate(self.descriptor, size)
            self._map = mmap.mmap(self.descriptor, size)
        return self._map

    def close(self) -> None:
        """Closes this end; what is still looked at stays until nobody does."""
        os.close(self.descriptor)
        self._map = None


def _new_file() -> int:
    """A file without a name, in memory where the system can."""
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    descriptor = os.memfd_create("clips", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    # the other end must not be able to take memory away that this end is reading: that is fatal
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor
