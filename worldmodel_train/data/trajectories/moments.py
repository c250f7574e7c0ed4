"""Mean, spread and range of numbers that come in parts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Of each column of all rows seen."""

    count: int
    mean: Float64[np.ndarray, "a"]
    squares: Float64[np.ndarray, "a"]
    """The sum of squared distances from the mean."""
    least: Float64[np.ndarray, "a"]
    most: Float64[np.ndarray, "a"]

    @classmethod
    def of(cls, rows: Shaped[np.ndarray, "n a"]) -> "Moments":
        """Of some rows, at least one."""
        numbers = rows.astype(np.float64)
        mean = numbers.mean(axis=0)
        return cls(
            count=len(numbers),
            mean=mean,
            squares=np.square(numbers - mean).sum(axis=0),
            least=numbers.min(axis=0),
            most=numbers.max(axis=0),
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
        )

    @property
    def std(self) -> Float64[np.ndarray, "a"]:
        """The standard deviation of each column."""
        return np.sqrt(self.squares / self.count)


def joined(one: Moments | None, other: Moments | None) -> Moments | None:
    """Of the rows of both, where there are any."""
    return one.joined(other) if one is not None and other is not None else one or other
