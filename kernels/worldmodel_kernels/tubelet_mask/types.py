"""What the op takes beside tensors of its own."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class PixelStatistics(NamedTuple):
    """Of pixels in [0, 1]: what normalisation subtracts, and what it then divides by."""

    mean: Float[Tensor, "c"]
    std: Float[Tensor, "c"]


class TubeletSize(NamedTuple):
    """A box of `frames` by `patch` by `patch` pixels."""

    frames: int
    patch: int
