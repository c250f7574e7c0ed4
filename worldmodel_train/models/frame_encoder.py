"""An encoder of single frames that is trained: one latent of each."""

from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldmodel_train.models.batch_norm import BatchNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.vit import VisionTransformer


class FrameEncoder(nn.Module):
    """Each frame to one latent."""

    def __init__(self, transformer: VisionTransformer, width: int, hidden: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.projector = projector(width, hidden)

    def forward(self, frames: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b t d"]:
        """In fp32."""
        batch = len(frames)
        (tokens,) = self.transformer(rearrange(frames, "b t h w c -> (b t) 1 h w c"))
        return self.projector(tokens.mean(dim=1)).float().unflatten(0, (batch, -1))


def projector(width: int, hidden: int, output: int | None = None) -> nn.Sequential:
    """Two linear maps with batch norm between them.

    The norm of layers before it would keep latents on a sphere, which no Gaussian is. Each rank
    takes the mean of its own micro-batch. `output` is `width` unless it is given.
    """
    return nn.Sequential(
        Linear(width, hidden), BatchNorm(hidden), nn.GELU(), Linear(hidden, output or width)
    )
