"""seq-JEPA: from views and how each leads to the next, the next view (arXiv 2505.03176).

A transformer reads what was seen and done into one aggregate; from it and the last change a
predictor says what a slow copy of the encoder sees then. Latents of views must tell what was done
to them (equivariance); the aggregate may forget it and keep what all views share (invariance).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated

import torch
from einops import rearrange, repeat
from jaxtyping import Float, UInt8
from pydantic import Discriminator, Field, Tag
from torch import Tensor, nn
from torch.nn.functional import normalize

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.joint_embedding import (
    SeesClips,
    batch_norm_misfits,
    mean_latent,
    tiny_encoder,
    view_misfits,
)
from worldmodel_train.jepa.view_cost import view_tokens
from worldmodel_train.losses.cosine import cosine_distance
from worldmodel_train.models.batch_norm import BatchNorm
from worldmodel_train.models.blocks import Blocks, BlocksConfig, init_linear
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.flops import (
    blocks_forward,
    blocks_parameters,
    encoder_forward,
    encoder_parameters,
    encoder_step,
    once_each,
)
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.token_fit import encoder_misfits, one_length
from worldmodel_train.models.token_sets import AttentionGroup
from worldmodel_train.models.views.saccades import Saccades
from worldmodel_train.models.views.views import CHANGE, ViewConfig
from worldmodel_train.models.vit import EncoderConfig, VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup, View
from worldmodel_train.types import Clips, Losses


def _kind(view: object) -> str:
    named = isinstance(view, Saccades) or (isinstance(view, Mapping) and "name" in view)
    return "saccades" if named else "changes"


class Config(StrictConfig):
    """The defaults are those published for changes of one picture, but for encoder and view."""

    encoder: EncoderConfig
    """Its latent of a view is the mean over tokens; a ResNet-18 with 512 channels as published."""
    view: Annotated[
        Annotated[ViewConfig, Tag("changes")] | Annotated[Saccades, Tag("saccades")],
        Discriminator(_kind),
    ] = ViewConfig()
    """How views are drawn: each by itself, or `name: saccades`."""
    seen: int = Field(default=3, ge=1)
    """Views that are read before the one that is predicted."""
    change_width: int = Field(default=128, gt=0)
    """Numbers that the change from a view to the next is mapped to."""
    depth: int = Field(default=3, gt=0)
    """Blocks of the transformer that reads views and changes."""
    heads: int = Field(default=4, gt=0)
    """Heads of each."""
    predictor_width: int = Field(default=1024, gt=0)
    """Hidden channels of the predictor."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=tiny_encoder(), seen=2, change_width=16, depth=1, heads=2, predictor_width=32
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """What is no whole tokens, several lengths, micro-batches of one clip, and odd heads."""
        yield from encoder_misfits(self.encoder, facts.data)
        yield from one_length(facts.data)
        yield from view_misfits(self.view, self.encoder, ("method", "view"))
        yield from self._patch_misfits(facts)
        yield from batch_norm_misfits(facts)
        width = self.reader_width
        if width % self.heads:
            yield (
                ("method", "heads"),
                f"{self.heads} heads do not share the {width} channels of a latent and a change; "
                "use a number that divides them",
            )

    def _patch_misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Patches that leave nowhere else to look."""
        clip = facts.data.sources[0].clip
        shorter = min(clip.height, clip.width)
        if isinstance(self.view, Saccades) and self.view.size >= shorter:
            message = f"a patch of {self.view.size} pixels is all of {shorter}; use a smaller one"
            yield ("method", "view", "size"), message

    @property
    def reader_width(self) -> int:
        """Channels of a latent and of a change behind each other."""
        return self.encoder.blocks.width + self.change_width

    @property
    def reader_blocks(self) -> BlocksConfig:
        """The size of the transformer that reads views and changes."""
        return BlocksConfig(width=self.reader_width, depth=self.depth, heads=self.heads)

    def preparation(self) -> None:
        """Clips are taken as they are read; views are drawn where the loss is computed."""

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip."""
        encoder, reader = self.encoder, self.reader_blocks
        tokens = view_tokens(self.view, encoder, facts)
        # the map of changes gives no gradient to what was drawn
        changes = head_forward((CHANGE, self.change_width)).times(2 * self.seen)
        read = once_each(blocks_forward(reader, self.seen + 1)).plus(changes)
        widths = (reader.width + self.change_width, self.predictor_width, encoder.blocks.width)
        return PlainCost(
            parameters={
                "encoder": encoder_parameters(encoder),
                "changes": (CHANGE + 3) * self.change_width,
                "reader": blocks_parameters(reader) + 3 * reader.width,
                "predictor": sum(a * b + b for a, b in pairwise(widths)),
                "slow encoder": encoder_parameters(encoder),
            },
            flops={
                "views, forward + backward": encoder_step(encoder, tokens).times(self.seen),
                "reader and predictor, forward + backward": read.plus(
                    once_each(head_forward(widths))
                ),
                "next view, forward": encoder_forward(encoder, tokens),
            },
        )

    def build(self, data: DataFacts | None = None) -> "SeqJepa":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return SeqJepa(self)


class SeqJepa(SeesClips):
    """An encoder with a slow copy, a reader of views and changes, and a predictor."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.encoder.blocks.width
        self.config = config
        self.encoder = config.encoder.build()
        self.teacher = copy.deepcopy(self.encoder).requires_grad_(requires_grad=False)
        self.changes = nn.Sequential(
            Linear(CHANGE, config.change_width), BatchNorm(config.change_width)
        )
        self.reader = Reader(config)
        self.predictor = nn.Sequential(
            Linear(config.reader_width + config.change_width, config.predictor_width),
            nn.ReLU(),
            Linear(config.predictor_width, width),
        )

    def training_losses(self, content: Clips) -> Losses:
        """One minus the cosine of the next view's latent and what is said of it."""
        views = self.config.view.draw_several(content.pixels, self.config.seen + 1)
        with torch.no_grad():
            target = mean_latent(self.teacher, views[-1].pixels).float()
        aggregate, last = self._read(views)
        predicted = self.predictor(torch.cat((aggregate, last), dim=1)).float()
        loss = cosine_distance(predicted, target).mean()
        return Losses(
            total=loss,
            terms={"distance": loss.detach()},
            latents={"predicted": predicted.detach(), "target": target},
        )

    def look_around(self, clips: UInt8[Tensor, "b t h w c"]) -> Sequence[View]:
        """As many views of each clip as are read."""
        return self.config.view.draw_several(clips, self.config.seen)

    @torch.no_grad()
    def aggregate(self, views: Sequence[View]) -> Float[Tensor, "b d"]:
        """What is made of some views and of the changes between them, which may be invariant."""
        return self._read([*views, views[-1]])[0].float()

    def foresee(
        self, clip: UInt8[Tensor, "1 t h w c"], changes: Float[Tensor, "v 13"]
    ) -> Float[Tensor, "v d"]:
        """The direction of the next view's latent; the clip is the one view that is read."""
        aggregate = self._of_one_view(mean_latent(self.encoder, clip)).expand(len(changes), -1)
        told = self._changed(changes.to(clip.device)[:, None])[:, 0]
        return normalize(self.predictor(torch.cat((aggregate, told), dim=1)).float(), dim=1)

    def view_vectors(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b d"]:
        """The direction of each mean latent, as the slow copy sees it."""
        return normalize(mean_latent(self.teacher, clips).float(), dim=1)

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The cosine distance of the target's half from what follows the context's unchanged."""
        seen = self.halves(context, target, context_encoder=self.encoder)
        nothing = self._changed(seen.context.new_zeros(len(seen.context), 1, CHANGE))[:, 0]
        aggregate = self._of_one_view(seen.context)
        predicted = self.predictor(torch.cat((aggregate, nothing), dim=1))
        return cosine_distance(predicted, seen.target)

    def seeing(self) -> VisionTransformer:
        """The slow copy."""
        return self.teacher

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The copy follows the encoder."""
        return [EmaPair(student=self.encoder, teacher=self.teacher)]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All but the copy, each part with and without weight decay."""
        return parameter_groups(
            encoder=self.encoder,
            changes=self.changes,
            reader=self.reader,
            predictor=self.predictor,
        )

    def _read(self, views: Sequence[View]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b c"]]:
        """The aggregate of all views but the last, and the change that leads to the last."""
        pixels: UInt8[Tensor, "v t h w c"] = torch.cat([view.pixels for view in views[:-1]])
        latents = rearrange(mean_latent(self.encoder, pixels), "(s b) d -> b s d", s=len(views) - 1)
        places = torch.stack([view.change for view in views], dim=1)
        changes = self._changed(places.diff(dim=1))
        # where the last view that was read leads is not told to the reader
        done = torch.cat((changes[:, :-1], torch.zeros_like(changes[:, -1:])), dim=1)
        return self.reader(torch.cat((latents, done), dim=-1)), changes[:, -1]

    def _of_one_view(self, latent: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        """The aggregate of views that nothing has been done to yet."""
        untold = latent.new_zeros(len(latent), self.config.change_width)
        return self.reader(torch.cat((latent, untold), dim=1)[:, None])

    def _changed(self, changes: Float[Tensor, "b s 13"]) -> Float[Tensor, "b s c"]:
        return self.changes(changes.flatten(0, 1)).unflatten(0, changes.shape[:2])


class Reader(nn.Module):
    """A transformer over views and changes whose first token becomes the aggregate."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.reader_width
        self.first = nn.Parameter(torch.zeros(1, width))
        self.blocks = Blocks(config.reader_blocks)
        self.norm = LastNorm(width)
        self.apply(init_linear)
        nn.init.trunc_normal_(self.first, std=0.02)

    def forward(self, seen: Float[Tensor, "b s d"]) -> Float[Tensor, "b d"]:
        """The aggregate; nothing says in which order views were seen but the changes."""
        first = repeat(self.first.to(seen.dtype), "1 d -> b 1 d", b=len(seen))
        tokens = torch.cat((first, seen), dim=1)
        group = AttentionGroup(rows=len(seen), tokens=tokens.shape[1], one_length=True)
        read = self.norm(self.blocks(tokens.flatten(0, 1), [group]))
        return read.unflatten(0, tokens.shape[:2])[:, 0]
