"""Views of clips, and what a model of what is done to views can be asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.protocols.latents import Encoder


@dataclass(frozen=True, kw_only=True)
class View:
    """Clips as they are seen, and what was done to them."""

    pixels: UInt8[Tensor, "b t h w c"]
    change: Float[Tensor, "b 13"]


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


@runtime_checkable
class ReadsViews(Encoder, Protocol):
    """A model that makes one vector of several views of a clip."""

    def look_around(self, clips: UInt8[Tensor, "b t h w c"]) -> Sequence[View]:
        """As many views of each clip as are read, drawn as in training by torch's generator."""
        ...

    def aggregate(self, views: Sequence[View]) -> Float[Tensor, "b d"]:
        """What is made of the views and of the changes between them, without gradient."""
        ...
