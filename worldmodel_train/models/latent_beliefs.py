"""Models whose belief is a latent and nothing else."""

from jaxtyping import Float, UInt8
from torch import Tensor


class LatentBelief:
    """What such a `LatentDynamics` says of its beliefs."""

    def latent(self, belief: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """The belief itself."""
        return belief

    def intervene(
        self, belief: Float[Tensor, "b d"], latent: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b d"]:
        """The other latent, which is all of a belief."""
        del belief
        return latent


class SeenLatent(LatentBelief):
    """Such a `LatentDynamics` to which observations are latents already."""

    def encode(
        self,
        observations: UInt8[Tensor, "b t h w c"] | Float[Tensor, "b t d"],
        actions: Float[Tensor, "b t-1 a"],
    ) -> Float[Tensor, "b d"]:
        """The last observation."""
        del actions
        return observations[:, -1]
