"""An even sample of rows that come in parts, for what no running sum can say."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Shaped, UInt64

KEPT = 1 << 16
"""Rows at most. A percentile of so many, of more, is that of a share which is wrong by 0.04 points
(a standard deviation, at the 1st and the 99th)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledRows:
    """All rows while they are few; of more, those with the least keys, which were drawn evenly.

    So a sample of parts is the same in whatever order they are joined.
    """

    keys: UInt64[np.ndarray, "n"]
    rows: Float32[np.ndarray, "n a"]

    @classmethod
    def of(cls, rows: Shaped[np.ndarray, "n a"], draw: np.random.Generator) -> "SampledRows":
        """Of some rows; no two parts that are joined may be of one state of `draw`."""
        keys = draw.integers(0, 1 << 64, len(rows), np.uint64)
        return cls(keys=keys, rows=rows.astype(np.float32)).fewest()

    def joined(self, other: "SampledRows") -> "SampledRows":
        """Of the rows of both."""
        keys = np.concatenate([self.keys, other.keys])
        return SampledRows(keys=keys, rows=np.concatenate([self.rows, other.rows])).fewest()

    def fewest(self) -> "SampledRows":
        """No more than are kept."""
        if len(self.keys) <= KEPT:
            return self
        least = np.argpartition(self.keys, KEPT)[:KEPT]
        return SampledRows(keys=self.keys[least], rows=self.rows[least])

    def percentile(self, share: int) -> Float64[np.ndarray, "a"]:
        """Of each column, below which lies this percentage; between two rows in proportion."""
        return np.percentile(self.rows.astype(np.float64), share, axis=0)
