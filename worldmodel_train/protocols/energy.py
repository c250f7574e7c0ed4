"""What it is to say how well things go together, without painting either."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from worldmodel_train.protocols.training import ContentT_contra


@runtime_checkable
class HasEnergy(Protocol[ContentT_contra]):
    """A model that finds out whether a target may follow from a context (LeCun, 2022, section 4).

    Both are contents of one shape, as they are read. Of clips the context is the first half of the
    tubelets (of images: of the rows of tokens) and the target the other half, seen in a whole clip.
    Of windows of episodes the context is the first observation and all actions, the target the
    observations after it.
    """

    def energy(self, context: ContentT_contra, target: ContentT_contra) -> Float[Tensor, "b"]:
        """Of each pair; lower the better they go together.

        Called in evaluation mode, without gradients. Nothing depends on what `context` has of the
        target's part. Energies of one model are comparable with each other alone.
        """
        ...
