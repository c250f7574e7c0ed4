"""Shuffles a stream with WebDataset's buffer, which is bounded in bytes here as well."""

import random
from collections.abc import Iterator

from webdataset.filters import shuffle

from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.stream_samples import Item

BUFFER_BYTES = 4 << 30  # of files; whatever a stream sends, no loading process holds more
_FIRST_FILL = 100  # samples buffered before the first leaves; waiting for more delays the start

Turn = tuple[int, Item]


class Shuffled:
    """The items in an order that is a function of them and `rng`, at most `size` held at a time.

    Where the items held are more than BUFFER_BYTES, all of them leave before more are taken.
    """

    def __init__(self, items: Iterator[Turn], size: int, rng: random.Random) -> None:
        self._items = items
        self._mix = shuffle(size, initial=_FIRST_FILL, rng=rng)
        self._held = 0
        self._ended = False

    def __iter__(self) -> Iterator[Turn]:
        """The items, until there are no more."""
        while not self._ended:
            for turn in self._mix(self._bounded()):
                self._held -= _num_bytes(turn)
                yield turn

    def _bounded(self) -> Iterator[Turn]:
        """Items until the buffer holds enough; then WebDataset's shuffle gives out what it has."""
        for turn in self._items:
            self._held += _num_bytes(turn)
            yield turn
            if self._held > BUFFER_BYTES:
                return
        self._ended = True


def _num_bytes(turn: Turn) -> int:
    return turn[1].num_bytes if isinstance(turn[1], EncodedSample) else 0
