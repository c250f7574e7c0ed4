"""Which sample of a source is drawn: epoch after epoch, each a permutation of all of them."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int64

from worldmodel_train.data.order import Permutation
from worldmodel_train.data.random_streams import Stream, generator, key

_BLOCK = 128
"""Positions computed together, which takes little longer than one of them."""


class SourceOrder:
    """The order of a source of `size` samples, a function of (seed, source number, position)."""

    def __init__(self, size: int, *, seed: int, number: int) -> None:
        self._size = size
        self._seed = seed
        self._number = number

    def number_at(self, position: int, attempt: int) -> int:
        """Which sample is drawn; a bad one is replaced by another of the same source."""
        if attempt:
            draw = (self._seed, self._number, position, attempt)
            return int(generator(Stream.REPLACEMENT, *draw).integers(self._size))
        epoch, step = divmod(position, self._size)
        block, place = divmod(step, _BLOCK)
        return int(_block(self._size, (self._seed, self._number, epoch), block)[place])


@lru_cache(maxsize=1024)
def _block(size: int, epoch: tuple[int, int, int], block: int) -> Int64[np.ndarray, "_"]:
    """A stretch of an epoch's order."""
    first = block * _BLOCK
    return _epoch_order(size, epoch).many(np.arange(first, min(first + _BLOCK, size)))


@lru_cache(maxsize=1024)
def _epoch_order(size: int, epoch: tuple[int, int, int]) -> Permutation:
    return Permutation(size, key(Stream.ORDER, *epoch))
