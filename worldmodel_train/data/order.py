"""A seeded order over n samples that takes no memory: any position is computed by itself."""

import numpy as np
from jaxtyping import Int64

from worldmodel_train.splitmix64 import GOLDEN, mix64

_ROUNDS = 6


class Permutation:
    """A pseudo-random permutation of 0..n-1 chosen by a 64-bit key.

    A Feistel network permutes the smallest power of four that holds n; values that fall outside
    walk on along their cycle until they land inside (Black and Rogaway, 2002), fewer than four
    steps on average.
    """

    def __init__(self, n: int, key: int) -> None:
        if n < 1:
            raise ValueError(f"a permutation needs at least one element, got n={n}")
        self.n = n
        self._half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        rounds = np.arange(1, _ROUNDS + 1, dtype=np.uint64) * GOLDEN
        self._keys = mix64(rounds + np.uint64(key))

    def _network(self, values: np.ndarray) -> np.ndarray:
        left, right = values >> self._half, values & self._mask
        for round_key in self._keys:
            left, right = right, left ^ (mix64(right + round_key) & self._mask)
        return (left << self._half) | right

    def many(self, positions: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
        """The elements at `positions`."""
        assert positions.size == 0 or (positions.min() >= 0 and positions.max() < self.n)
        values = self._network(positions.astype(np.uint64))
        while (outside := values >= self.n).any():
            values[outside] = self._network(values[outside])
        return values.astype(np.int64)

    def __call__(self, position: int) -> int:
        """The element at `position`."""
        return int(self.many(np.array([position]))[0])
