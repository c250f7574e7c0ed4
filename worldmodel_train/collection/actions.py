"""Numbers from -1 to 1 that a policy gives, as actions of a world and as an episode keeps them."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from jaxtyping import Float, Float32, Float64
from numpy import ndarray


@dataclass(frozen=True)
class Bounded:
    """Vectors; -1 and 1 are the bounds of the world's own."""

    space: Box

    @property
    def width(self) -> int:
        """Numbers of one."""
        return self.space.shape[0]

    def kept(self, action: Float[ndarray, "a"]) -> Float32[ndarray, "a"]:
        """The action as the policy gave it."""
        return np.asarray(action, np.float32)

    def own(self, action: Float[ndarray, "a"]) -> Float[ndarray, "a"]:
        """The same place between the world's bounds."""
        low, high = self._bounds()
        share = (np.asarray(action, np.float64) + 1) / 2
        return (low + share * (high - low)).astype(self.space.dtype)

    def _bounds(self) -> tuple[Float64[ndarray, "a"], Float64[ndarray, "a"]]:
        return self.space.low.astype(np.float64), self.space.high.astype(np.float64)


@dataclass(frozen=True)
class Choices:
    """One of several: that for which the policy's number is the largest."""

    space: Discrete

    @property
    def width(self) -> int:
        """A number for each choice."""
        return int(self.space.n)

    def kept(self, action: Float[ndarray, "a"]) -> Float32[ndarray, "a"]:
        """1 for what was chosen, 0 for all else."""
        return np.eye(self.width, dtype=np.float32)[np.argmax(action)]

    def own(self, action: Float[ndarray, "a"]) -> int:
        """The number of the choice."""
        return int(self.space.start + np.argmax(action))


Actions: TypeAlias = Bounded | Choices


def actions_of(space: Space[Any]) -> Actions | None:
    """How a policy acts in such a space; None where it cannot."""
    if isinstance(space, Discrete):
        return Choices(space)
    if isinstance(space, Box) and len(space.shape) == 1 and space.is_bounded():
        return Bounded(space)
    return None
