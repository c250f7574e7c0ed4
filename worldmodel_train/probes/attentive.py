"""Attentive probes: what a frozen encoder's tokens say of a video's label (arXiv 2506.09985).

The protocol of V-JEPA 2: nothing of the encoder is trained; poolers of a few blocks and linear maps
are, one for each pair of a learning rate and a weight decay, all in one pass over the videos.
"""

from collections.abc import Iterator, Sequence

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.probes.answers import Answers, answers_of
from worldmodel_train.probes.clip_encoder import labelled_clip_misfits, require_clip_encoder
from worldmodel_train.probes.heads import Attentive, AttentiveProbe
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses


class GridConfig(StrictConfig):
    """Probes that are trained side by side, one for each pair; evaluation names the best one."""

    rates: tuple[PositiveFloat, ...] = Field(default=(1.0,), min_length=1)
    """Learning rates, as multiples of `optim.lr`."""
    decays: tuple[NonNegativeFloat, ...] = Field(default=(1.0,), min_length=1)
    """Weight decays, as multiples of `optim.weight_decay`."""

    @property
    def pairs(self) -> tuple[tuple[float, float], ...]:
        """The rate and the decay of each probe."""
        return tuple((rate, decay) for rate in self.rates for decay in self.decays)

    @property
    def names(self) -> tuple[str, ...]:
        """The rate and the decay of each probe, in words."""
        return tuple(f"rate x {rate:g}, decay x {decay:g}" for rate, decay in self.pairs)

    def parameter_groups(self, probes: Sequence[nn.Module]) -> list[ParameterGroup]:
        """Each probe at its own rate and decay; all of it decays, biases too, as released."""
        return [
            ParameterGroup(
                name=f"probe_{number}",
                parameters=list(probe.parameters()),
                weight_decay=True,
                rate_scale=rate,
                decay_scale=decay,
            )
            for number, (probe, (rate, decay)) in enumerate(zip(probes, self.pairs, strict=True))
        ]


class Config(StrictConfig):
    """Probes on the encoder of another run."""

    encoder: PartConfig
    """The encoder, which stays as it is: `part: target_encoder` of a V-JEPA run."""
    depth: int = Field(default=3, ge=1)
    """Blocks of self-attention before the one that gathers."""
    heads: int = Field(default=16, ge=1)
    """Attention heads of the pooler, a divisor of the encoder's width."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Hidden channels of the pooler's MLPs, as a multiple of the width."""
    segments: int = Field(default=1, ge=1)
    """Clips of a video whose tokens a probe sees together; `data.loader.clips_per_video` must be
    the same."""
    layers: tuple[PositiveInt, ...] | None = Field(default=None, min_length=1)
    """Blocks of the encoder after which tokens are taken, 1 being the first: a probe sees those of
    all of them, each normalised as the last ones are. Null takes the last alone."""
    grid: GridConfig = GridConfig()
    """Learning rates and weight decays to try at once."""

    @field_validator("layers")
    @classmethod
    def _layers_are_in_order(cls, layers: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if layers is not None and list(layers) != sorted(set(layers)):
            raise ValueError(f"layers={list(layers)}: name each once, from the first on")
        return layers

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips without labels, of several lengths, or not as many of each video."""
        yield from labelled_clip_misfits(facts.data)
        if facts.data.clips_per_video != self.segments:
            message = f"the probe sees {self.segments} clips of each video; use {self.segments}"
            yield ("data", "loader", "clips_per_video"), message

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted: most of it is another run's encoder."""

    def build(self, data: DataFacts, *, encoder: FrozenPart) -> "AttentiveProbes":
        """Freshly initialised probes, drawn from torch's global generator.

        Raises:
            ValueError: The part is no encoder of these clips, has fewer blocks, or a width that
                does not split into heads.
        """
        network = encoder.on(torch.device("cpu"))
        network = require_clip_encoder(network, data, origin=encoder.origin)
        depth = len(network.blocks)
        layers = (depth,) if self.layers is None else self.layers
        if max(layers) > depth:
            raise ValueError(
                f"method.layers={list(layers)}, but {encoder.origin} has {depth} blocks; use at "
                f"most {depth}"
            )
        assert data.classes is not None, "the recipe has been checked"
        head = Attentive(depth=self.depth, heads=self.heads, mlp_ratio=self.mlp_ratio)
        width, classes = network.width, len(data.classes)
        probes = [head.build(width, num_classes=classes) for _ in self.grid.pairs]
        seen = SeenTokens(encoder, layers, segments=self.segments)
        return AttentiveProbes(seen, probes, grid=self.grid, answers=answers_of(data))


class SeenTokens:
    """What a probe sees of a video: tokens of some layers of a frozen encoder, of all segments."""

    def __init__(self, encoder: FrozenPart, layers: Sequence[int], *, segments: int) -> None:
        self.encoder = encoder
        self.layers = layers
        self.segments = segments

    @torch.no_grad()
    def __call__(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "v n d"]:
        """Of each segment one layer's tokens after the other's."""
        network = self.encoder.on(clips.device)
        assert isinstance(network, VisionTransformer), "build has seen to it"
        tokens = torch.cat(network.after(clips, self.layers), dim=1)
        return rearrange(tokens, "(v s) n d -> v (s n) d", s=self.segments)


class AttentiveProbes(nn.Module):
    """Probes on an encoder that is held by reference; a `Classifier`."""

    def __init__(
        self,
        seen: SeenTokens,
        probes: Sequence[AttentiveProbe],
        *,
        grid: GridConfig,
        answers: Answers,
    ) -> None:
        super().__init__()
        assert len(probes) == len(grid.pairs)
        self.seen = seen
        self.grid = grid
        self.answers = answers
        self.each = nn.ModuleList(probes)

    def num_segments(self) -> int:
        """Clips of one video that are looked at together."""
        return self.seen.segments

    def probe_names(self) -> Sequence[str]:
        """The rate and the decay of each, as multiples of those of the recipe."""
        return self.grid.names

    def training_losses(self, content: Clips) -> Losses:
        """The sum of all probes' losses, so that each has the gradient of its own."""
        assert content.labels is not None, "the recipe has been checked"
        labels = content.labels[:: self.seen.segments]
        logits = self.logits(content.pixels)
        losses = torch.stack([self.answers.loss(one, labels) for one in logits])
        right = torch.stack([self.answers.accuracy(one, labels) for one in logits])
        return Losses(
            total=losses.sum(),
            terms={"accuracy": right.max().detach(), "least_loss": losses.min().detach()},
        )

    def logits(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "p v classes"]:
        """Of each probe and video, one number for each class, in fp32."""
        videos = self.seen(clips)
        return torch.stack([probe(videos) for probe in self.each])

    def probabilities(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "p v classes"]:
        """Of each class, by each probe, for each video."""
        return self.answers.probabilities(self.logits(clips))

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Each probe at its own rate and decay; all of it decays, biases too, as released."""
        return self.grid.parameter_groups(list(self.each))

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The encoder."""
        return {"encoder": self.seen.encoder}
