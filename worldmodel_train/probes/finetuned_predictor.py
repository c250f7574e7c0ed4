"""Predictor fine-tuning: a world model's predictor learns labels on an encoder that stays frozen.

The predictor of IWM (arXiv 2403.00504) sees all tokens of a clip, and is asked for all of them
again in a look that does not change; a head names the class by what it says. What it has learned
shows beside a predictor of its size that is drawn anew, and beside the head alone: a linear probe.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.masks.past_and_future import whole_twice
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.look_predictor import LookPredictor
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.views.colours import LOOK
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.probes.answers import Answers, answers_of
from worldmodel_train.probes.clip_encoder import labelled_clip_misfits, require_clip_encoder
from worldmodel_train.probes.heads import Head, Mean
from worldmodel_train.probes.one_probe import OneProbe
from worldmodel_train.protocols import ParameterGroup


class Config(StrictConfig):
    """A classifier that begins from the predictor of another run."""

    encoder: PartConfig
    """The encoder, which stays as it is: `part: teacher` of an IWM run."""
    predictor: PartConfig | None
    """The predictor to begin from: `part: predictor` of the same run. Null gives the head the
    encoder's tokens, and trains nothing else: a linear probe."""
    weights: Literal["taken", "drawn"] = "taken"
    """`drawn` takes the predictor's size and draws its weights anew."""
    head: Head = Mean()
    """What makes tokens into classes."""

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips without labels, or of several lengths."""
        yield from labelled_clip_misfits(facts.data)

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted: the networks' sizes stand in another run."""

    def build(
        self, data: DataFacts, *, encoder: FrozenPart, predictor: FrozenPart | None = None
    ) -> "PredictorClassifier":
        """The classifier, what is new of it drawn from torch's global generator.

        Raises:
            ValueError: The parts are no encoder of these clips, or no predictor of its latents.
        """
        network = encoder.on(torch.device("cpu"))
        network = require_clip_encoder(network, data, origin=encoder.origin)
        begun = None if predictor is None else _require_predictor(predictor, network)
        if begun is not None and self.weights == "drawn":
            begun = LookPredictor(begun.config, network.config)
        assert data.classes is not None, "the recipe has been checked"
        head = self.head.build(network.width, num_classes=len(data.classes))
        held = {"encoder": encoder} | ({} if predictor is None else {"predictor": predictor})
        return PredictorClassifier(held, begun, head, answers=answers_of(data))


def _require_predictor(part: FrozenPart, encoder: VisionTransformer) -> LookPredictor:
    """The predictor, given away to be trained.

    Raises:
        ValueError: It is none that is told of looks, or of latents that are wider or narrower.
    """
    network = part.thaw()
    if not isinstance(network, LookPredictor):
        raise ValueError(
            f"method.predictor: {part.origin} is a {type(network).__name__}, not a predictor that "
            "is told of looks; use `part: predictor` of a run of jepa/image_world_model"
        )
    if network.proj.out_features != encoder.width:
        raise ValueError(
            f"method.predictor: {part.origin} predicts latents of {network.proj.out_features} "
            f"channels, and the encoder's have {encoder.width}; name parts of one run"
        )
    return network


class PredictorClassifier(OneProbe):
    """A predictor and a head that are trained on a frozen encoder; a `Classifier` of one probe."""

    def __init__(
        self,
        held: dict[str, FrozenPart],
        predictor: LookPredictor | None,
        head: nn.Module,
        *,
        answers: Answers,
    ) -> None:
        super().__init__(answers)
        self.predictor = predictor
        self.head = head
        self._held = held

    def probe_names(self) -> Sequence[str]:
        """There is one."""
        return ("the head alone" if self.predictor is None else "predictor and head",)

    def logits(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b classes"]:
        """One number for each class, in fp32."""
        encoder = self._held["encoder"].on(clips.device)
        assert isinstance(encoder, VisionTransformer), "build has seen to it"
        with torch.no_grad():
            (seen,) = encoder(clips)
        if self.predictor is None:
            return self.head(seen)
        grid = encoder.token_grid(clips)
        masks = whole_twice(grid, len(clips)).map(lambda tensor: tensor.to(clips.device))
        unchanged = seen.new_zeros(len(clips), LOOK)
        (said,) = self.predictor([seen], [masks], grid, unchanged)
        return self.head(said[:, 0])

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Predictor and head, each with and without weight decay."""
        if self.predictor is None:
            return parameter_groups(head=self.head)
        return parameter_groups(predictor=self.predictor, head=self.head)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The encoder, and what the predictor began as; a run is resumed from these alone."""
        return self._held
