"""V-JEPA and V-JEPA 2: predict the latents of hidden tubelets (arXiv 2404.08471, 2506.09985).

I-JEPA is the same on images; see `ijepa.py`.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.half_seen import half_seen, loss_of_each
from worldmodel_train.jepa.mask_misfits import masked_misfits
from worldmodel_train.jepa.masked_cost import MaskedCost
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.losses import LossConfig, Lp
from worldmodel_train.masks import MaskConfig, Multiblock3D
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.models.blocks import BlocksConfig, init_linear
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.layer_norm import normalised
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.predictor import Predictor, PredictorConfig
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.vit import EncoderConfig, VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import (
    ClipGroup,
    Clips,
    LatentPair,
    Losses,
    MaskedClips,
    TokenGrid,
)

MaskToken = Literal["per_group", "shared"]


class Config(StrictConfig):
    """V-JEPA 2; V-JEPA is the same with position sincos3d and residual_init plain."""

    encoder: EncoderConfig
    predictor: PredictorConfig
    masks: tuple[MaskConfig, ...] = Field(min_length=1)
    """Mask groups; every clip is masked once by each."""
    loss: LossConfig = Lp()
    mask_token: MaskToken = "per_group"
    """`per_group`: mask group i of a recipe uses mask token i, as in V-JEPA. `shared`: all mask
    groups of clip length i use token i, as in V-JEPA 2, lengths in the order that the sources name
    them; a single token serves all lengths. The released runs have one length, so token 0 alone of
    their weights was trained."""
    residual_init: Literal["rescaled", "plain"] = "rescaled"
    """`rescaled` draws what block l adds to the stream 1/sqrt(2 l) as large, as V-JEPA 2 does;
    `plain` draws all weights alike. The released V-JEPA and I-JEPA code is plain: it rescales, but
    then initialises once more."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        size = BlocksConfig(width=48, depth=2, heads=3)
        return cls(
            encoder=EncoderConfig(size=size, patch=8, tubelet=2),
            predictor=PredictorConfig(width=32, depth=2, heads=2, mask_tokens=2),
            masks=(Multiblock3D(num_blocks=2), Multiblock3D(num_blocks=1)),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips that are no whole tokens, and masks that do not suit them or the predictor."""
        yield from masked_misfits(self.encoder, self.masks, facts)
        yield from self._mask_token_misfits(facts)

    def preparation(self) -> MaskPreparation:
        """Masks are drawn where clips are read."""
        encoder = self.encoder
        return MaskPreparation(samplers=self.masks, tubelet=encoder.tubelet, patch=encoder.patch)

    def cost(self, facts: RecipeFacts) -> MaskedCost | PlainCost:
        """With masks as they will be drawn."""
        return MaskedCost(self.encoder, self.predictor, self.masks, facts)

    def _mask_token_misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        available, groups = self.predictor.mask_tokens, len(self.masks)
        lengths = len({clip.frames for clip in facts.data.shares})
        key = ("method", "predictor", "mask_tokens")
        if self.mask_token == "per_group" and available < groups:
            yield key, f"{available} mask tokens cannot serve {groups} mask groups; use {groups}"
        if self.mask_token == "shared" and 1 < available < lengths:
            message = f"{available} mask tokens cannot serve {lengths} clip lengths; "
            yield key, message + f"use {lengths} or 1"

    def build(self, data: DataFacts | None = None) -> "VJepa":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        encoder, predictor = self.encoder.build(), self.predictor.build(self.encoder)
        if self.residual_init == "plain":
            encoder.apply(init_linear)
            predictor.apply(init_linear)
        return VJepa(encoder, predictor, self.loss, self.mask_token)


class VJepa(nn.Module):
    """A context encoder and a predictor regress what a slow copy of the encoder sees."""

    def __init__(
        self,
        encoder: VisionTransformer,
        predictor: Predictor,
        loss: LossConfig,
        mask_token: MaskToken = "per_group",
    ) -> None:
        super().__init__()
        self.context_encoder = encoder
        self.target_encoder = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self.predictor = predictor
        self.loss = loss
        self.mask_token: MaskToken = mask_token

    def training_losses(self, content: MaskedClips) -> Losses:
        """The loss of one batch: every mask group of every clip length weighs the same."""
        groups = [self.predict(group) for group in content.groups]
        by_mask = [self._mean_loss(pairs) for pairs in zip(*groups, strict=True)]
        watched = monitored_tokens(groups)
        return Losses(
            total=torch.stack(by_mask).mean(),
            terms={f"mask_{i}": loss.detach() for i, loss in enumerate(by_mask)},
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def predict(self, group: ClipGroup) -> Sequence[LatentPair]:
        """Predicted and target latents for each mask group; every network runs once."""
        seen = self.encode(group.clips)
        targets = [gather_sets(seen, masks.target_index) for masks in group.masks]
        del seen  # all tokens of all clips in fp32: not needed while the context is encoded
        predictions = self.predict_from(self.encode_context(group), group)
        return [
            LatentPair(predicted=predicted, target=target, valid=masks.target_valid)
            for predicted, target, masks in zip(predictions, targets, group.masks, strict=True)
        ]

    def encode_context(self, group: ClipGroup) -> Sequence[Float[Tensor, "b _ d"]]:
        """What the context encoder sees of the context of each mask group, and of nothing else."""
        kept = [TokenSet(masks.context_index, masks.context_valid) for masks in group.masks]
        return self.context_encoder(group.clips, kept)

    def predict_from(
        self, contexts: Sequence[Float[Tensor, "b _ d"]], group: ClipGroup
    ) -> Sequence[Float[Tensor, "b _ _ d"]]:
        """The latents of each mask group's targets as the predictor fills them in, in fp32."""
        grid, mask_tokens = self.token_grid(group.clips), self._mask_tokens(group)
        predictions = self.predictor(contexts, group.masks, grid, mask_tokens)
        return [predicted.float() for predicted in predictions]

    @torch.no_grad()
    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """What the target encoder sees in whole clips, each token normalised to mean 0, std 1.

        This is the space of the targets. In fp32: bf16 variance drifts after long cooldowns.
        """
        (latents,) = self.target_encoder(clips)
        return normalised(latents)

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The loss of the target's latents as predicted from the context, pair by pair."""
        group = half_seen(context, self.token_grid(context.pixels))
        (predicted,) = self.predict_from(self.encode_context(group), group)
        seen = gather_sets(self.encode(target.pixels), group.masks[0].target_index)
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

    def _mean_loss(self, pairs: Sequence[LatentPair]) -> Float[Tensor, ""]:
        losses = [self.loss.loss(p.predicted, p.target, p.valid) for p in pairs]
        return torch.stack(losses).mean()

    def _mask_tokens(self, group: ClipGroup) -> Sequence[int]:
        """The mask token of each mask group."""
        num_masks, available = len(group.masks), len(self.predictor.mask_tokens)
        if self.mask_token == "shared":
            token = group.length_index if available > 1 else 0
            assert token < available, "the recipe has more clip lengths than mask tokens"
            return [token] * num_masks
        if num_masks > available:
            raise ValueError(
                f"method.predictor.mask_tokens={available}, but the recipe has {num_masks} mask "
                f"groups under masks; set mask_tokens to {num_masks}, or method.mask_token=shared"
            )
        return range(num_masks)
