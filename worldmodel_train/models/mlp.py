"""What a block does to each token on its own."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.models.linear import Linear

MlpKind = Literal["gelu", "swiglu"]

_ALIGNED = 8
"""Hidden channels of a SwiGLU are a multiple of so many, as released code has it."""


class Mlp(nn.Module):
    """Two linear maps with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, tokens: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Each token on its own, transformed."""
        return self.fc2(functional.gelu(self.fc1(tokens)))


class SwiGlu(nn.Module):
    """One linear map gates another, and a third leads back (Shazeer 2020, arXiv 2002.05202).

    Named as V-JEPA's code names them: `fc1` is the gate, `fc2` what it gates, `fc3` leads back.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(width, hidden)
        self.fc3 = Linear(hidden, width)

    def forward(self, tokens: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Each token on its own, transformed."""
        return self.fc3(functional.silu(self.fc1(tokens)) * self.fc2(tokens))


def mlp_width(kind: MlpKind, hidden: int) -> int:
    """Hidden channels where a GELU would have `hidden`.

    A SwiGLU has three maps, so two thirds of the channels make it as large; they are rounded up.
    """
    if kind == "gelu":
        return hidden
    return -(-int(2 * hidden / 3) // _ALIGNED) * _ALIGNED


def build_mlp(kind: MlpKind, width: int, hidden: int) -> Mlp | SwiGlu:
    """An MLP of that kind with so many hidden channels."""
    return Mlp(width, hidden) if kind == "gelu" else SwiGlu(width, hidden)
