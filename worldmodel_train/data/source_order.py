"""Which sample of a source is drawn: epoch after epoch, each a permutation of all of them."""

from functools import lru_cache

from worldmodel_train.data.order import Permutation
from worldmodel_train.data.random_streams import Stream, generator, key


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
        return _epoch_order(self._size, key(Stream.ORDER, self._seed, self._number, epoch))(step)


@lru_cache(maxsize=64)
def _epoch_order(size: int, epoch_key: int) -> Permutation:
    return Permutation(size, epoch_key)
