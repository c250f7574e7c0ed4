"""AdaLN-Zero: a condition shifts and scales what a layer reads, and gates what it adds.

As DiT does (arXiv 2212.09748); all gates begin closed, so that a new block is the identity.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.models.layer_norm import at_least_fp32
from worldmodel_train.models.linear import Linear

ADALN_EPS = 1e-6


class Modulation(nn.Module):
    """From a condition to vectors that act on tokens; zero until `close`d maps have learned."""

    def __init__(self, width: int, vectors: int) -> None:
        super().__init__()
        self.vectors = vectors
        self.proj = Linear(width, vectors * width)
        close(self.proj)

    def forward(self, condition: Float[Tensor, "*b d"]) -> tuple[Float[Tensor, "*b d"], ...]:
        """The vectors, in fp32: next to 1, bf16 has steps of a hundredth."""
        rows = self.proj(functional.silu(condition).reshape(-1, condition.shape[-1]))
        vectors = rows.to(at_least_fp32(rows)).unflatten(0, condition.shape[:-1])
        return vectors.chunk(self.vectors, dim=-1)


def modulated(
    tokens: Float[Tensor, "*b d"],
    shift: Float[Tensor, "*#b d"],
    scale: Float[Tensor, "*#b d"],
) -> Float[Tensor, "*b d"]:
    """Each token with mean 0 and variance 1, then scaled by 1 + `scale` and shifted (AdaLN)."""
    tokens = tokens.to(at_least_fp32(tokens))
    return functional.layer_norm(tokens, tokens.shape[-1:], eps=ADALN_EPS) * (1 + scale) + shift


def close(linear: nn.Linear) -> None:
    """Make a linear map answer zero until it has learned."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
