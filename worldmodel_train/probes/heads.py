"""What makes a clip's tokens into one number for each class: the choices under `head`."""

from typing import Annotated, Literal

from einops import reduce
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.attentive_pooler import AttentivePooler
from worldmodel_train.models.blocks import BlocksConfig, init_linear
from worldmodel_train.models.layer_norm import LastNorm


class Mean(StrictConfig):
    """The mean of all tokens, normalised, and a linear map, after VideoMAE (arXiv 2203.12602).

    There the norm stands in place of the encoder's last one; here both are applied.
    """

    name: Literal["mean"] = "mean"

    def build(self, width: int, *, num_classes: int) -> "MeanProbe":
        """A freshly initialised head, drawn from torch's global generator."""
        return MeanProbe(width, num_classes=num_classes)


class Attentive(StrictConfig):
    """A learned query that gathers the tokens, and a linear map: what probes/attentive trains."""

    name: Literal["attentive"] = "attentive"
    depth: int = Field(default=3, ge=1)
    """Blocks of self-attention before the one that gathers."""
    heads: int = Field(default=16, ge=1)
    """Attention heads of the pooler, a divisor of the encoder's width."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Hidden channels of the pooler's MLPs, as a multiple of the width."""

    def build(self, width: int, *, num_classes: int) -> "AttentiveProbe":
        """A freshly initialised head, drawn from torch's global generator.

        Raises:
            ValueError: The width does not split into heads.
        """
        size = BlocksConfig(
            width=width, depth=self.depth, heads=self.heads, mlp_ratio=self.mlp_ratio
        )
        return AttentiveProbe(size, num_classes=num_classes)


Head = Annotated[Mean | Attentive, Field(discriminator="name")]


class MeanProbe(nn.Module):
    """A norm and a linear map of the mean token."""

    def __init__(self, width: int, *, num_classes: int) -> None:
        super().__init__()
        self.norm = LastNorm(width, eps=1e-6)
        self.classifier = nn.Linear(width, num_classes)
        self.classifier.apply(init_linear)

    def forward(self, tokens: Float[Tensor, "v n d"]) -> Float[Tensor, "v classes"]:
        """One number for each class, in fp32."""
        mean = reduce(tokens, "v n d -> v d", "mean")
        return self.classifier(self.norm(mean)).float()


class AttentiveProbe(nn.Module):
    """A pooler and a linear map."""

    def __init__(self, size: BlocksConfig, *, num_classes: int) -> None:
        super().__init__()
        self.pooler = AttentivePooler(size)
        self.classifier = nn.Linear(size.width, num_classes)
        self.classifier.apply(init_linear)

    def forward(self, tokens: Float[Tensor, "v n d"]) -> Float[Tensor, "v classes"]:
        """One number for each class, in fp32."""
        return self.classifier(self.pooler(tokens)[:, 0]).float()
