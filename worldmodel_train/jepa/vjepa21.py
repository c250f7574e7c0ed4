"""V-JEPA 2.1: latents of four depths, of hidden and of visible tokens (arXiv 2603.14482).

V-JEPA 2 teaches nothing about what is seen, and visible tokens then keep what is of use to others.
Here they are predicted too, from the same context, the more so the nearer they are to what is
hidden. A clip of one frame is an image, with tubelets, masks and an embedding of its own.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, UInt8
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import ClipShape, DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.drawn_masks import clip_lengths, masked_flops, token_table
from worldmodel_train.jepa.half_seen import half_seen, loss_of_each
from worldmodel_train.jepa.image_and_clip_misfits import image_and_clip_misfits
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.losses import LossConfig, Lp
from worldmodel_train.losses.dense import ContextLoss, distances_to_targets
from worldmodel_train.masks import MaskConfig, Multiblock3D
from worldmodel_train.masks.images_and_clips import ImageAndClipMasks
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.flops import (
    Flops,
    MaskTokens,
    encoder_forward,
    encoder_step,
    once_each,
)
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.multilevel_predictor import MultilevelPredictor, multilevel_forward
from worldmodel_train.models.multilevel_vit import (
    LEVELS,
    MultilevelEncoderConfig,
    MultilevelVisionTransformer,
    modality_of,
)
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import EmaPair, MaskSampler, ParameterGroup
from worldmodel_train.types import ClipGroup, Clips, LatentPair, Losses, MaskedClips, TokenGrid

MASK_TOKEN = 0
"""The one that is used, as in the released runs: of the eight that their weights hold, the others
were never trained."""


class Config(StrictConfig):
    """V-JEPA 2.1."""

    encoder: MultilevelEncoderConfig
    predictor: PredictorConfig
    """Its first mask token stands for whatever is hidden."""
    masks: tuple[MaskConfig, ...] = Field(min_length=1)
    """Mask groups; every clip is masked once by each."""
    image_masks: tuple[MaskConfig, ...] = Field(
        default=(Multiblock3D(num_blocks=10),), min_length=1
    )
    """The same for clips of one frame, which are images."""
    loss: LossConfig = Lp()
    """Of hidden tokens."""
    context: ContextLoss = ContextLoss()
    """Of visible ones."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        size = BlocksConfig(width=48, depth=LEVELS, heads=3)
        return cls(
            encoder=MultilevelEncoderConfig(size=size, patch=8, tubelet=2),
            predictor=PredictorConfig(width=32, depth=2, heads=2, mask_tokens=2),
            masks=(Multiblock3D(num_blocks=2), Multiblock3D(num_blocks=1)),
            image_masks=(Multiblock3D(num_blocks=2),),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips and images that are no whole tokens, and masks that do not suit them."""
        yield from image_and_clip_misfits(self.encoder, self.masks, self.image_masks, facts)

    def preparation(self) -> ImageAndClipMasks:
        """Masks are drawn where clips are read."""
        return ImageAndClipMasks(
            samplers=self.masks,
            image_samplers=self.image_masks,
            tubelet=self.encoder.tubelet,
            patch=self.encoder.patch,
        )

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip or image, with masks as they will be drawn.

        The one token of the other kind that a micro-batch embeds is left out.
        """

        def encoder(frames: int) -> EncoderConfig:
            return self.encoder.model_copy(update={"tubelet": 1}) if frames == 1 else self.encoder

        def masked(clip: ClipShape) -> tuple[TokenGrid, Sequence[MaskSampler]]:
            samplers = self.image_masks if clip.frames == 1 else self.masks
            return grid_of(encoder(clip.frames), clip), samplers

        def predicted(mask: MaskTokens) -> Flops:
            return once_each(multilevel_forward(self.predictor, self.encoder, mask))

        lengths = clip_lengths(masked, facts)
        return PlainCost(
            parameters=built_parameters(self.build),
            flops=masked_flops(
                lengths,
                target=lambda one: encoder_forward(encoder(one.frames), one.grid.num_tokens),
                context=lambda one, tokens: encoder_step(encoder(one.frames), tokens),
                predictor=predicted,
            ),
            tables=[token_table(lengths)],
        )

    def build(self, data: DataFacts | None = None) -> "VJepa21":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        encoder = self.encoder.build()
        return VJepa21(
            encoder, MultilevelPredictor(self.predictor, self.encoder), self.loss, self.context
        )


@dataclass(frozen=True, kw_only=True)
class _Dense:
    """What was said and seen of one mask group, the four levels end to end."""

    hidden: LatentPair
    visible: LatentPair
    distance: Float[Tensor, "b g k"]
    """Of each visible token from the nearest hidden one."""

    def deepest(self, width: int) -> LatentPair:
        """The hidden tokens at the last level."""
        pair = self.hidden
        return replace(
            pair, predicted=pair.predicted[..., -width:], target=pair.target[..., -width:]
        )


class VJepa21(nn.Module):
    """A context encoder and a predictor regress what a slow copy of the encoder sees.

    Others are shown the deepest level: `encode` and `predict` speak of it alone. The loss and the
    energy are of all four.
    """

    def __init__(
        self,
        encoder: MultilevelVisionTransformer,
        predictor: MultilevelPredictor,
        loss: LossConfig,
        context: ContextLoss,
    ) -> None:
        super().__init__()
        self.context_encoder = encoder
        self.target_encoder = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self.predictor = predictor
        self.loss = loss
        self.context = context
        self._context_weight = context.weight

    def begin_step(self, step: int) -> None:
        """The weight of visible tokens in the optimizer step with this index."""
        self._context_weight = self.context.weight_at(step)

    def training_losses(self, content: MaskedClips) -> Losses:
        """The loss of one batch: every clip length weighs the same, and in it every mask group."""
        groups = [self._predict(group) for group in content.groups]
        hidden = _mean_of_means([[self._hidden_loss(one) for one in group] for group in groups])
        visible = _mean_of_means([[self._visible_loss(one) for one in group] for group in groups])
        width = self.context_encoder.width
        watched = monitored_tokens([[one.deepest(width) for one in group] for group in groups])
        return Losses(
            total=hidden + self._context_weight * visible,
            terms={"hidden": hidden.detach(), "visible": visible.detach()},
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def predict(self, group: ClipGroup) -> Sequence[LatentPair]:
        """Predicted and target latents of the last level for each mask group."""
        return [one.deepest(self.context_encoder.width) for one in self._predict(group)]

    def encode_context(self, group: ClipGroup) -> Sequence[Float[Tensor, "b _ _"]]:
        """What the context encoder sees of each mask group's context, the levels end to end."""
        kept = [TokenSet(masks.context_index, masks.context_valid) for masks in group.masks]
        return self.context_encoder(group.clips, kept, levels="all")

    def predict_from(
        self, contexts: Sequence[Float[Tensor, "b _ _"]], group: ClipGroup
    ) -> Sequence[Float[Tensor, "b _ _ d"]]:
        """The last level of each mask group's targets as the predictor fills it in, in fp32."""
        targets, _ = self._say(contexts, group)
        return [predicted[..., -self.context_encoder.width :] for predicted in targets]

    @torch.no_grad()
    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """What the target encoder sees in whole clips, each token normalised to mean 0, std 1.

        Of the last level, in fp32.
        """
        (latents,) = self.target_encoder(clips)
        return _normalised(latents, levels=1)

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The loss of the target's latents as predicted from the context, pair by pair."""
        group = half_seen(context, self.token_grid(context.pixels))
        (predicted,), _ = self._say(self.encode_context(group), group)
        seen = gather_sets(self._see(target.pixels), group.masks[0].target_index)
        return loss_of_each(self.loss, predicted, seen)

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that clips of this size become."""
        return self.context_encoder.token_grid(clips)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The target encoder follows the context encoder."""
        return [EmaPair(student=self.context_encoder, teacher=self.target_encoder)]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder and predictor, each with and without weight decay."""
        return parameter_groups(encoder=self.context_encoder, predictor=self.predictor)

    def _predict(self, group: ClipGroup) -> list[_Dense]:
        """All that is said and seen of a group; every network runs once."""
        seen, grid = self._see(group.clips), self.token_grid(group.clips)
        visible, hidden, distances = [], [], []
        for masks in group.masks:
            sets = masks.target_index.shape[1]
            at = masks.context_index[:, None].expand(-1, sets, -1)
            visible.append(gather_sets(seen, at))
            hidden.append(gather_sets(seen, masks.target_index))
            everywhere = distances_to_targets(masks.target_index, grid, masks.target_valid)
            distances.append(everywhere.gather(2, at))
        del seen  # all tokens of all clips in fp32: not needed while the context is encoded
        of_hidden, of_visible = self._say(self.encode_context(group), group)
        return [
            _Dense(
                hidden=LatentPair(predicted=of_hidden[i], target=hidden[i], valid=m.target_valid),
                visible=LatentPair(
                    predicted=of_visible[i],
                    target=visible[i],
                    valid=_beside_each(m.context_valid, m.target_index.shape[1]),
                ),
                distance=distances[i],
            )
            for i, m in enumerate(group.masks)
        ]

    @torch.no_grad()
    def _see(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n _"]:
        """The targets: all levels of whole clips, each normalised by itself, in fp32."""
        (latents,) = self.target_encoder(clips, levels="all")
        return _normalised(latents, levels=LEVELS)

    def _say(
        self, contexts: Sequence[Float[Tensor, "b _ _"]], group: ClipGroup
    ) -> tuple[list[Float[Tensor, "b _ _ _"]], list[Float[Tensor, "b _ _ _"]]]:
        """All levels of targets and context of each mask group, in fp32."""
        clips, tokens = group.clips, [MASK_TOKEN] * len(group.masks)
        targets, seen = self.predictor(
            contexts, group.masks, self.token_grid(clips), tokens, modality_of(clips)
        )
        return [one.float() for one in targets], [one.float() for one in seen]

    def _hidden_loss(self, dense: _Dense) -> Float[Tensor, ""]:
        pair = dense.hidden
        return self.loss.loss(pair.predicted, pair.target, pair.valid)

    def _visible_loss(self, dense: _Dense) -> Float[Tensor, ""]:
        pair = dense.visible
        return self.context.loss(pair.predicted, pair.target, dense.distance, pair.valid)


def _normalised(latents: Float[Tensor, "b n _"], *, levels: int) -> Float[Tensor, "b n _"]:
    """Each level of each token with mean 0 and std 1, in fp32: bf16 variance drifts."""
    apart = latents.float().unflatten(-1, (levels, -1))
    return functional.layer_norm(apart, apart.shape[-1:]).flatten(-2)


def _mean_of_means(losses: Sequence[Sequence[Float[Tensor, ""]]]) -> Float[Tensor, ""]:
    return torch.stack([torch.stack(list(group)).mean() for group in losses]).mean()


def _beside_each(valid: Bool[Tensor, "b k"] | None, sets: int) -> Bool[Tensor, "b g k"] | None:
    return None if valid is None else valid[:, None].expand(-1, sets, -1)
