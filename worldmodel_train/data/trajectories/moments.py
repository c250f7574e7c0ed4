"""Mean, spread, range and percentiles of numbers that come in parts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped

from worldmodel_train.data.trajectories.sampled_rows import SampledRows


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Of each column of all rows seen."""

    count: int
    mean: Float64[np.ndarray, "a"]
    squares: Float64[np.ndarray, "a"]
    """The sum of squared distances from the mean."""
    least: Float64[np.ndarray, "a"]
    most: Float64[np.ndarray, "a"]
    sampled: SampledRows
    """Of which percentiles are taken."""

    @classmethod
    def of(cls, rows: Shaped[np.ndarray, "n a"], draw: np.random.Generator) -> "Moments":
        """Of some rows, at least one; `draw` decides which are sampled where there are many."""
        numbers = rows.astype(np.float64)
        mean = numbers.mean(axis=0)
        return cls(
            count=len(numbers),
            mean=mean,
            squares=np.square(numbers - mean).sum(axis=0),
            least=numbers.min(axis=0),
            most=numbers.max(axis=0),
            sampled=SampledRows.of(rows, draw),
        )

    def joined(self, other: "Moments") -> "Moments":
        """Of the rows of both (Chan, Golub and LeVeque, 1979)."""
        count, apart = self.count + other.count, other.mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + apart * (other.count / count),
            squares=self.squares
            + other.squares
            + np.square(apart) * (self.count * other.count / count),
            least=np.minimum(self.least, other.least),
            most=np.maximum(self.most, other.most),
            sampled=self.sampled.joined(other.sampled),
        )

    @property
    def std(self) -> Float64[np.ndarray, "a"]:
        """The standard deviation of each column."""
        return np.sqrt(self.squares / self.count)

    @property
    def low(self) -> Float64[np.ndarray, "a"]:
        """The 1st percentile of each column."""
        return self.sampled.percentile(1)

    @property
    def high(self) -> Float64[np.ndarray, "a"]:
        """The 99th percentile of each column."""
        return self.sampled.percentile(99)


def joined(one: Moments | None, other: Moments | None) -> Moments | None:
    """Of the rows of both, where there are any."""
    return one.joined(other) if one is not None and other is not None else one or other
