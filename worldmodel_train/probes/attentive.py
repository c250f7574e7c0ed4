"""An attentive probe: what a frozen encoder's tokens say of a clip's label (arXiv 2506.09985).

The protocol of V-JEPA 2: nothing of the encoder is trained, a pooler of a few blocks and a linear
map are.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.models.attentive_pooler import AttentivePooler
from worldmodel_train.models.blocks import BlocksConfig, init_linear
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.token_fit import one_length
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses


class Config(StrictConfig):
    """A probe on the encoder of another run."""

    encoder: PartConfig
    """The encoder, which stays as it is: `part: target_encoder` of a V-JEPA run."""
    depth: int = Field(default=3, ge=1)
    """Blocks of self-attention before the one that gathers."""
    heads: int = Field(default=16, ge=1)
    """Attention heads of the pooler, a divisor of the encoder's width."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Hidden channels of the pooler's MLPs, as a multiple of the width."""

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips without labels, or of several lengths."""
        if facts.data.classes is None:
            message = "a probe learns labels: name the classes, or a file with one a line"
            yield ("data", "classes"), message
        yield from one_length(facts.data)

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted: most of it is another run's encoder."""

    def build(self, data: DataFacts, *, encoder: FrozenPart) -> "AttentiveProbe":
        """A freshly initialised probe, drawn from torch's global generator.

        Raises:
            ValueError: The part is no encoder of clips, or its width does not split into heads.
        """
        network = encoder.on(torch.device("cpu"))
        if not isinstance(network, VisionTransformer):
            raise ValueError(
                f"method.encoder: {encoder.origin} is a {type(network).__name__}, not an encoder "
                "of clips; use a part such as target_encoder"
            )
        assert data.classes is not None, "the recipe has been checked"
        size = BlocksConfig(
            width=network.width, depth=self.depth, heads=self.heads, mlp_ratio=self.mlp_ratio
        )
        return AttentiveProbe(encoder, size, num_classes=len(data.classes))


class AttentiveProbe(nn.Module):
    """A pooler and a linear map on an encoder that is held by reference."""

    def __init__(self, encoder: FrozenPart, size: BlocksConfig, *, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooler = AttentivePooler(size)
        self.classifier = nn.Linear(size.width, num_classes)
        self.classifier.apply(init_linear)

    def training_losses(self, content: Clips) -> Losses:
        """Cross-entropy of the labels, and the share that is named rightly."""
        assert content.labels is not None, "the recipe has been checked"
        logits = self.logits(content.pixels)
        right = (logits.argmax(-1) == content.labels).float().mean()
        return Losses(
            total=functional.cross_entropy(logits, content.labels),
            terms={"accuracy": right.detach()},
        )

    def logits(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b classes"]:
        """One number for each class, in fp32."""
        with torch.no_grad():
            (tokens,) = self.encoder.on(clips.device)(clips)
        return self.classifier(self.pooler(tokens)[:, 0]).float()

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Pooler and linear map, each with and without weight decay."""
        return parameter_groups(pooler=self.pooler, classifier=self.classifier)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The encoder."""
        return {"encoder": self.encoder}
