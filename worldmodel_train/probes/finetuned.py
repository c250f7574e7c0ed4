"""Fine-tuning: an encoder of another run and a head on it, both trained to name a clip's class.

What a frozen probe reads off an encoder is what it has learned; what fine-tuning reaches is how
good a place it is to begin from. Earlier layers learn more slowly (`models/layer_decay.py`).
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.layer_decay import layered_groups
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.probes.answers import Answers, answers_of
from worldmodel_train.probes.clip_encoder import labelled_clip_misfits, require_clip_encoder
from worldmodel_train.probes.heads import Head, Mean
from worldmodel_train.probes.one_probe import OneProbe
from worldmodel_train.protocols import ParameterGroup


class Config(StrictConfig):
    """A classifier that begins from the encoder of another run."""

    encoder: PartConfig
    """The encoder to begin from: `part: target_encoder` of a V-JEPA run."""
    weights: Literal["taken", "drawn"] = "taken"
    """`drawn` takes the encoder's size and draws its weights anew: training from scratch, which
    fine-tuning is compared with."""
    head: Head = Mean()
    """What makes tokens into classes."""
    layer_decay: float = Field(default=0.75, gt=0, le=1)
    """Learning rate of a layer as a multiple of the next one's; 1 trains all layers alike."""

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips without labels, or of several lengths."""
        yield from labelled_clip_misfits(facts.data)

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted: the encoder's size stands in another run."""

    def build(self, data: DataFacts, *, encoder: FrozenPart) -> "FinetunedClassifier":
        """The classifier, what is new of it drawn from torch's global generator.

        Raises:
            ValueError: The part is no encoder of these clips, or its width does not split into
                heads.
        """
        network = require_clip_encoder(encoder.thaw(), data, origin=encoder.origin)
        if self.weights == "drawn":
            network = network.config.build()
        assert data.classes is not None, "the recipe has been checked"
        head = self.head.build(network.width, num_classes=len(data.classes))
        return FinetunedClassifier(
            network, head, layer_decay=self.layer_decay, answers=answers_of(data), begins=encoder
        )


class FinetunedClassifier(OneProbe):
    """An encoder and a head that are trained together; a `Classifier` of one probe."""

    def __init__(
        self,
        encoder: VisionTransformer,
        head: nn.Module,
        *,
        layer_decay: float,
        answers: Answers,
        begins: FrozenPart,
    ) -> None:
        super().__init__(answers)
        self.encoder = encoder
        self.head = head
        self.layer_decay = layer_decay
        self._begins = begins

    def probe_names(self) -> Sequence[str]:
        """There is one."""
        return ("all of the encoder trained",)

    def logits(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b classes"]:
        """One number for each class, in fp32."""
        (tokens,) = self.encoder(clips)
        return self.head(tokens)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Each layer at its own rate; biases, norms and all that has one dimension do not decay."""
        return layered_groups(self.encoder, self.head, layer_decay=self.layer_decay)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """What the encoder began as: a run is resumed from the same one or not at all."""
        return {"encoder": self._begins}
