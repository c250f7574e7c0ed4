"""From spectrograms to tokens."""

from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.models.linear import Linear
from worldmodel_train.types import TokenGrid


class SpectrogramEmbed(nn.Module):
    """A linear map of patches: so many frames by as many bands.

    To a network a spectrogram is an image whose rows are its frames: tokens count band by band, and
    all of a patch of time before the next.
    """

    def __init__(self, width: int, *, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = Linear(patch * patch, width)

    def grid(self, spectrograms: Float[Tensor, "b t m"]) -> TokenGrid:
        """The grid of tokens that spectrograms of this size become."""
        return TokenGrid.of(1, *spectrograms.shape[1:], tubelet=1, patch=self.patch)

    def forward(
        self, spectrograms: Float[Tensor, "b t m"], index: Int[Tensor, "#b k"]
    ) -> Float[Tensor, "b k d"]:
        """The tokens with these ids; other patches are not embedded."""
        patches = rearrange(
            spectrograms, "b (t p) (m q) -> b (t m) (p q)", p=self.patch, q=self.patch
        )
        kept = gather_tokens(patches, index.expand(len(patches), -1))
        return self.proj(kept.flatten(0, 1)).unflatten(0, kept.shape[:2])
