"""What it is to say where each pixel of a picture goes."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor


@runtime_checkable
class EstimatesFlow(Protocol):
    """A model that finds the motion between two pictures."""

    def flow(
        self, first: UInt8[Tensor, "b h w c"], second: UInt8[Tensor, "b h w c"]
    ) -> Float[Tensor, "b 2 h w"]:
        """How far each pixel of `first` is moved to the right and downwards, without gradient.

        In pixels.
        """
        ...
