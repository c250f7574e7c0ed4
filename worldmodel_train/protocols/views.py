"""What a model of what is done to views of a clip can be asked."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor


@runtime_checkable
class ForeseesViews(Protocol):
    """A model that is told what will be done to a clip, and says what it will see of it then."""

    def foresee(
        self, clip: UInt8[Tensor, "1 t h w c"], changes: Float[Tensor, "v 13"]
    ) -> Float[Tensor, "v d"]:
        """What is expected of the clip after each change, given the clip as it is."""
        ...

    def view_vectors(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b d"]:
        """What is seen of clips: the closer two vectors are (Euclid), the more alike it is."""
        ...
