"""From the latents of one level to the tokens of the next."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.models.linear import Linear
from worldmodel_train.types import TokenGrid


class StepEmbed(nn.Module):
    """A linear map of latents, one for each step of time; each is a token."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.proj = Linear(latent, width)

    def grid(self, steps: Float[Tensor, "b t m"]) -> TokenGrid:
        """As many frames as steps, of one place each."""
        return TokenGrid(steps.shape[1], 1, 1)

    def forward(
        self, steps: Float[Tensor, "b t m"], index: Int[Tensor, "#b k"]
    ) -> Float[Tensor, "b k d"]:
        """The tokens with these ids."""
        kept = gather_tokens(steps, index.expand(len(steps), -1))
        return self.proj(kept.flatten(0, 1)).unflatten(0, kept.shape[:2])
