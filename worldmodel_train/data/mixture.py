"""Which source a sample comes from: the mixture, as a function of the sample's number."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from worldmodel_train.data.order import Permutation
from worldmodel_train.data.random_streams import Stream, key

BLOCK = 1000
_LARGEST_CHANGE = 0.1  # of a source's share, by rounding


class Draw(NamedTuple):
    """The `position`-th sample that the mixture takes from source number `source`."""

    source: int
    position: int


def block_counts(weights: Sequence[float], block: int = BLOCK) -> tuple[int, ...]:
    """Samples per source in each block: weights rounded to 1/block, at least one, sum = block.

    Raises ValueError where rounding would change a source's share noticeably.
    """
    if len(weights) > block:
        raise ValueError(f"data.sources has {len(weights)} sources; at most {block} can be mixed")
    exact = np.asarray(weights, dtype=np.float64) / sum(weights) * block
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    while (missing := block - int(counts.sum())) != 0:
        # the largest remainder gains; a source that was lifted to one is paid for by the fullest
        candidates = (
            exact - counts if missing > 0 else np.where(counts > 1, counts - exact, -np.inf)
        )
        counts[int(np.argmax(candidates))] += np.sign(missing)
    changes = np.abs(counts - exact) / exact
    worst = int(np.argmax(changes))
    if changes[worst] > _LARGEST_CHANGE:
        others = sum(weights) - weights[worst]
        raise ValueError(
            f"data.sources[{worst}] has a share of {exact[worst] / block:.3g}, which the mixture "
            f"rounds to {counts[worst]}/{block}, a change of {changes[worst]:.0%}; its smallest "
            f"weight possible beside the others is {others / (block - 1):.3g}, best are multiples"
        )
    return tuple(int(count) for count in counts)


class Mixture:
    """Weighted mixture in blocks: each block of 1000 samples has the same, exact make-up.

    Inside a block the order is a seeded permutation. A source's position is then the number of
    whole blocks before times its count, plus its rank inside the block: no history is needed.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self.counts = block_counts(weights)
        self._seed = seed
        self._slots = np.repeat(np.arange(len(weights)), self.counts)
        self._block = lru_cache(maxsize=8)(self._draw_block)

    def _draw_block(
        self, block: int
    ) -> tuple[Int64[np.ndarray, "slots"], Int64[np.ndarray, "slots"]]:
        """Source and rank within the source of every slot of a block."""
        sources = self._slots[self._order(block)]
        ranks = np.empty(BLOCK, dtype=np.int64)
        for source, count in enumerate(self.counts):
            ranks[sources == source] = np.arange(count)
        return sources, ranks

    def _order(self, block: int) -> Int64[np.ndarray, "slots"]:
        """In which order a block's slots come, which are sorted by source."""
        order = Permutation(BLOCK, key(Stream.MIXTURE, self._seed, block))
        return order.many(np.arange(BLOCK))

    def draw(self, sample: int) -> Draw:
        """Where sample number `sample` of the run comes from."""
        block, slot = divmod(sample, BLOCK)
        sources, ranks = self._block(block)
        source = int(sources[slot])
        return Draw(source, block * self.counts[source] + int(ranks[slot]))

    def __getstate__(self) -> dict[str, object]:
        """The mixture without its cache, which does not travel between processes."""
        return {name: value for name, value in self.__dict__.items() if name != "_block"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._block = lru_cache(maxsize=8)(self._draw_block)
