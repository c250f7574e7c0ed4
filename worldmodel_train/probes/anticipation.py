"""Probes that name what will be done next (arXiv 2506.09985, on EPIC-KITCHENS-100).

A frozen JEPA gives a clip's tokens, and by its predictor those of a moment after it. A probe has a
query and a linear map for each kind of class, such as verbs, nouns and actions. Many are trained in
one pass, as in `attentive.py`.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.class_kinds import class_kinds
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.models.attentive_pooler import AttentivePooler
from worldmodel_train.models.blocks import BlocksConfig, init_linear
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.token_fit import one_length
from worldmodel_train.probes.attentive import GridConfig
from worldmodel_train.probes.clip_encoder import require_whole_tokens
from worldmodel_train.probes.focal_loss import focal_loss
from worldmodel_train.probes.future_tokens import FutureTokens
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses

_SLACK = 1e-3
"""Seconds by which times of pictures are rounded."""


class AheadConfig(StrictConfig):
    """Which moment after a clip the predictor is asked for."""

    fps: PositiveFloat = 8.0
    """Pictures a second of all clips, as the sources' `clip.fps`."""
    seconds: float = Field(default=1.0, ge=0)
    """From the clip's end to the moment."""
    action_at: PositiveFloat | None = None
    """In training, seconds from a sample's first picture to its action: the moment is then the
    action's, however long after the clip. Null: `seconds` in training too."""

    def tubelets(self, seconds: float, tubelet: int) -> int:
        """Whole tubelets in so many seconds."""
        return int((seconds + _SLACK) * self.fps / tubelet)

    def furthest(self, tubelet: int) -> int:
        """The most tubelets between a clip and the moment."""
        return self.tubelets(max(self.seconds, self.action_at or 0.0), tubelet)

    def until_action(self, times: Float[Tensor, "b t"], tubelet: int) -> Int[Tensor, "b"]:
        """Whole tubelets from the end of each clip, whose pictures are at `times`, to its action.

        None where the action has begun.
        """
        assert self.action_at is not None
        left = self.action_at - (times[:, -1] + 1 / self.fps)
        return ((left + _SLACK) * self.fps / tubelet).clamp(min=0).long()


class Config(StrictConfig):
    """Probes on the encoder and the predictor of another run."""

    jepa: PartConfig
    """The run, whole: `part: .`, since its predictor is asked too."""
    ahead: AheadConfig = AheadConfig()
    """What is predicted."""
    mask_token: NonNegativeInt = 0
    """Which of the predictor's mask tokens asks."""
    depth: int = Field(default=3, ge=1)
    """Blocks of self-attention before the one that gathers."""
    heads: int = Field(default=16, ge=1)
    """Attention heads of the pooler, a divisor of the encoder's width."""
    grid: GridConfig = GridConfig()
    """Learning rates and weight decays to try at once."""

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips without labels of each kind, of several lengths, or several of a video."""
        data = facts.data
        if data.classes is None:
            yield ("data", "classes"), "a probe learns labels: name a file with one class a line"
        if data.labels != "many":
            yield ("data", "labels"), "a clip has a label of each kind; use many"
        if data.clips_per_video != 1:
            yield ("data", "loader", "clips_per_video"), "the probe sees one clip at a time; use 1"
        for source in data:
            if source.fps != self.ahead.fps:
                message = f"time is counted in pictures, method.ahead.fps={self.ahead.fps:g} of "
                yield (
                    (*source.key, "clip", "fps"),
                    message + "them a second; use as many, and protocol: ours",
                )
        yield from one_length(data)

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted: most of it is another run's."""

    def build(self, data: DataFacts, *, jepa: FrozenPart) -> "AnticipationProbes":
        """Freshly initialised probes, drawn from torch's global generator.

        Raises:
            ValueError: The part predicts no latents of clips, the clips are not whole tokens, the
                encoder's width does not split into heads, or the classes are in disorder.
        """
        future = FutureTokens(jepa, mask_token=self.mask_token)
        encoder = future.encoder
        require_whole_tokens(encoder, data, origin=jepa.origin)
        assert data.classes is not None, "the recipe has been checked"
        size = BlocksConfig(width=encoder.width, depth=self.depth, heads=self.heads)
        counts = [kind.stop - kind.start for kind in class_kinds(data.classes).values()]
        probes = [AnticipationProbe(size, counts) for _ in self.grid.pairs]
        return AnticipationProbes(self, future, probes)


class AnticipationProbe(nn.Module):
    """A pooler of one query for each kind of class, each with a linear map."""

    def __init__(self, size: BlocksConfig, num_classes: Sequence[int]) -> None:
        super().__init__()
        self.pooler = AttentivePooler(size, queries=len(num_classes))
        self.classifiers = nn.ModuleList(nn.Linear(size.width, count) for count in num_classes)
        self.classifiers.apply(init_linear)

    def forward(self, tokens: Float[Tensor, "v n d"]) -> Float[Tensor, "v classes"]:
        """One number for each class, kind by kind, in fp32."""
        pooled = self.pooler(tokens).unbind(1)
        kinds = zip(self.classifiers, pooled, strict=True)
        return torch.cat([classifier(one).float() for classifier, one in kinds], dim=-1)


class AnticipationProbes(nn.Module):
    """Probes on a JEPA that is held by reference; a `Classifier` of several kinds of classes."""

    def __init__(
        self, config: Config, future: FutureTokens, probes: Sequence[AnticipationProbe]
    ) -> None:
        super().__init__()
        self.grid = config.grid
        self.ahead = config.ahead
        self.future = future
        self.each = nn.ModuleList(probes)
        self._tubelet = future.encoder.patch_embed.tubelet

    def num_segments(self) -> int:
        """A clip is looked at by itself."""
        return 1

    def probe_names(self) -> Sequence[str]:
        """The rate and the decay of each, as multiples of those of the recipe."""
        return self.grid.names

    def training_losses(self, content: Clips) -> Losses:
        """The sum of all probes' losses, so that each has the gradient of its own."""
        assert content.labels is not None, "the recipe has been checked"
        labels = content.labels.bool()
        ahead = self._fixed(content.pixels)
        if self.ahead.action_at is not None:
            assert content.times is not None, "clips of shards have the times of their pictures"
            ahead = self.ahead.until_action(content.times, self._tubelet)
        losses = torch.stack(
            [focal_loss(logits, labels) for logits in self.logits(content.pixels, ahead)]
        )
        return Losses(total=losses.sum(), terms={"least_loss": losses.min().detach()})

    def logits(
        self, clips: UInt8[Tensor, "b t h w c"], ahead: Int[Tensor, "b"]
    ) -> Float[Tensor, "p b classes"]:
        """Of each probe and clip, when the moment is so many tubelets ahead; in fp32."""
        tokens = self.future(clips, ahead, furthest=self.ahead.furthest(self._tubelet))
        return torch.stack([probe(tokens) for probe in self.each])

    def probabilities(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "p b classes"]:
        """Of each class by itself, by each probe, for each clip."""
        return self.logits(clips, self._fixed(clips)).sigmoid()

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Each probe at its own rate and decay."""
        return self.grid.parameter_groups(list(self.each))

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The JEPA."""
        return {"jepa": self.future.jepa}

    def _fixed(self, clips: Tensor) -> Int[Tensor, "b"]:
        tubelets = self.ahead.tubelets(self.ahead.seconds, self._tubelet)
        return torch.full((len(clips),), tubelets, device=clips.device)
