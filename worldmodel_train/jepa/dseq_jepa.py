"""DSeq-JEPA: predict region after region, from what stands out most (arXiv 2511.17354).

What a slow copy of the encoder finds salient is cut into regions; the latents of each are predicted
from those before it, and the background comes last. Training begins with I-JEPA's masks and turns
to regions little by little.

The released code shows the step that predicts region k + 2 the regions up to k alone, for k > 0;
here it sees all up to k + 1, as the paper has it. There regions are those of images. In clips they
are of all tokens together, so one may pass through time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa import vjepa
from worldmodel_train.jepa.drawn_masks import (
    ClipLength,
    clip_lengths,
    masked_flops,
    token_table,
)
from worldmodel_train.jepa.joint_embedding import tiny_encoder
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.losses import LossConfig, SmoothL1
from worldmodel_train.masks import Multiblock3D
from worldmodel_train.masks.counter_random import stream, uniforms
from worldmodel_train.masks.salient_regions import salient_regions, sequence_masks
from worldmodel_train.models.blocks import init_linear
from worldmodel_train.models.class_token_vit import ClassTokenTransformer
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.flops import (
    Flops,
    MaskTokens,
    blocks_forward,
    embed_forward,
    once_each,
    predictor_forward,
)
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.layer_norm import normalised
from worldmodel_train.models.predictor import Predictor, PredictorConfig
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.types import ClipGroup, LatentPair, Losses, MaskedClips, Masks

_CHANCES = 1000
"""Steps of a run whose chance to be one of regions is looked at, about."""


class RegionConfig(StrictConfig):
    """How a clip falls into regions; the defaults are published for ViT-B."""

    layer: int = Field(default=10, ge=1)
    """Blocks of the slow copy after which its tokens are compared with its class token's weight."""
    most: int = Field(default=5, ge=2)
    """Regions of a clip, the background among them."""
    least_area: float = Field(default=0.15, gt=0, lt=1)
    """Share of all tokens that a region has at least. Where none has so many, the largest is
    taken alone, by our choice: else there would be nothing to predict from."""


class CurriculumConfig(StrictConfig):
    """How I-JEPA's masks give way to regions."""

    until_step: int = Field(ge=0)
    """The chance of a step to be one of regions grows evenly from `start` to `end` until this step;
    the published runs end with it."""
    start: float = Field(default=0.0, ge=0, le=1)
    """Of the first step."""
    end: float = Field(default=1.0, ge=0, le=1)
    """Of later steps. Where nobody tells of steps, as in evaluation, it is one of regions unless
    this is 0."""
    seed: int = Field(default=0, ge=0)
    """Steps are drawn from it and their number alone, so alike on all ranks and when resumed."""

    def chance(self, step: int) -> float:
        """Of the optimizer step with this index to be one of regions."""
        share = 1.0 if step >= self.until_step else step / self.until_step
        return self.start + share * (self.end - self.start)

    def takes_regions(self, step: int) -> bool:
        """Whether it is one."""
        drawn = uniforms(stream("dseq_curriculum", self.seed), np.array([step]))
        return float(drawn[0]) < self.chance(step)


class Config(vjepa.Config):
    """The encoder has a class token; `masks` are those of I-JEPA's steps."""

    loss: LossConfig = SmoothL1()
    mask_token: vjepa.MaskToken = "shared"
    """One mask token stands for whatever is hidden: steps of regions have as many groups as the
    clips that they are of have regions."""
    regions: RegionConfig = RegionConfig()
    curriculum: CurriculumConfig

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=tiny_encoder(),
            predictor=PredictorConfig(width=32, depth=2, heads=2, mask_token_std=0.02),
            masks=(Multiblock3D(num_blocks=2),),
            regions=RegionConfig(layer=1),
            curriculum=CurriculumConfig(until_step=100),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """As of V-JEPA, mask tokens by group, and a layer that the encoder does not have."""
        yield from super().misfits(facts)
        if self.mask_token != "shared":
            yield ("method", "mask_token"), "regions are no mask groups; use shared"
        depth = self.encoder.blocks.depth
        if self.regions.layer > depth:
            message = f"the encoder has {depth} blocks, not {self.regions.layer}; use {depth}"
            yield ("method", "regions", "layer"), message + " or less"

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, in the mean over a run's steps of masks and regions.

        Regions are as large as what is seen makes them. Counted are micro-batches as films of
        `envs/balls` give them: of any clip one region stands out, of some nearly all tokens and of
        some few, so that both it and the background are padded to all but one. Clips of more
        regions cost up to as much again for each.
        """
        drawn = clip_lengths(lambda clip: (grid_of(self.encoder, clip), self.masks), facts)
        padded = [one.grid.num_tokens - 1 for one in drawn]
        regions = [
            replace(one, masks=((MaskTokens(context=most, target=most),),))
            for one, most in zip(drawn, padded, strict=True)
        ]
        by_masks, by_regions = self._flops(drawn), self._flops(regions)
        every = max(1, facts.steps // _CHANCES)
        share = fmean(self.curriculum.chance(step) for step in range(0, facts.steps, every))
        return PlainCost(
            parameters=built_parameters(self.build),
            flops={
                part: flops.times(1 - share).plus(by_regions[part].times(share))
                for part, flops in by_masks.items()
            },
            tables=[token_table(drawn)],
        )

    def _flops(self, lengths: Sequence[ClipLength]) -> dict[str, Flops]:
        """Of a step under masks; the class token is beside the tokens that an encoder sees."""
        encoder = self.encoder

        def learned(_: ClipLength, tokens: int) -> Flops:
            embed = embed_forward(encoder, tokens).times(2)
            return once_each(blocks_forward(encoder.blocks, tokens + 1)).plus(embed)

        def target(length: ClipLength) -> Flops:
            tokens = length.grid.num_tokens
            return blocks_forward(encoder.blocks, tokens + 1).plus(embed_forward(encoder, tokens))

        return masked_flops(
            lengths,
            target=target,
            context=learned,
            predictor=lambda mask: once_each(predictor_forward(self.predictor, encoder, mask)),
        )

    def build(self, data: DataFacts | None = None) -> "DSeqJepa":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        encoder = ClassTokenTransformer(self.encoder)
        predictor = self.predictor.build(self.encoder)
        if self.residual_init == "plain":
            encoder.apply(init_linear)
            predictor.apply(init_linear)
        return DSeqJepa(self, encoder, predictor)


class DSeqJepa(vjepa.VJepa):
    """V-JEPA's networks; a step is one of masks, or of regions from the most salient one on."""

    context_encoder: ClassTokenTransformer
    target_encoder: ClassTokenTransformer

    def __init__(
        self, config: Config, encoder: ClassTokenTransformer, predictor: Predictor
    ) -> None:
        super().__init__(encoder, predictor, config.loss, config.mask_token)
        self.config = config
        self._by_regions = config.curriculum.end > 0

    def begin_step(self, step: int) -> None:
        """Whether the optimizer step with this index is one of regions."""
        self._by_regions = self.config.curriculum.takes_regions(step)

    def training_losses(self, content: MaskedClips) -> Losses:
        """The loss of one batch, under its masks or region by region.

        All clip lengths weigh the same. Of one, all tokens do that are predicted in any region of
        the clips of this rank.
        """
        if not self._by_regions:
            losses = super().training_losses(content)
            return replace(losses, terms=_terms(losses.total, by_regions=False))
        groups = [self.predict_regions(group) for group in content.groups]
        total = torch.stack([self._mean_over_tokens(pairs) for pairs in groups]).mean()
        watched = monitored_tokens(groups)
        return Losses(
            total=total,
            terms=_terms(total, by_regions=True),
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def predict_regions(self, group: ClipGroup) -> Sequence[LatentPair]:
        """Predicted and target latents of the second region, of the third, and so on.

        Regions are found on the host, which waits for the slow copy.
        """
        with torch.no_grad():
            layer = self.config.regions.layer
            seen, saliency = self.target_encoder(group.clips, salient_after=layer)
        seen = normalised(seen)
        in_order = replace(group, masks=self.region_masks(saliency[..., 0], group))
        predictions = self.predict_from(self.encode_context(in_order), in_order)
        return [
            LatentPair(
                predicted=predicted,
                target=gather_sets(seen, masks.target_index),
                valid=masks.target_valid,
            )
            for predicted, masks in zip(predictions, in_order.masks, strict=True)
        ]

    def region_masks(self, saliency: Float[Tensor, "b n"], group: ClipGroup) -> tuple[Masks, ...]:
        """The regions to predict in their order, each with all before it as context."""
        config, grid = self.config.regions, self.token_grid(group.clips)
        regions = [
            salient_regions(one, grid, most=config.most, least_area=config.least_area)
            for one in saliency.double().cpu().numpy()
        ]
        device = group.clips.device
        return tuple(mask.map(lambda one: one.to(device)) for mask in sequence_masks(regions))

    def _mean_over_tokens(self, pairs: Sequence[LatentPair]) -> Float[Tensor, ""]:
        counts = torch.stack(
            [
                pair.target.new_tensor(pair.target[..., 0].numel())
                if pair.valid is None
                else pair.valid.sum()
                for pair in pairs
            ]
        )
        losses = [self.loss.loss(pair.predicted, pair.target, pair.valid) for pair in pairs]
        return (torch.stack(losses) * counts).sum() / counts.sum()


def _terms(total: Float[Tensor, ""], *, by_regions: bool) -> dict[str, Float[Tensor, ""]]:
    """The same names whatever the step is, so that each is one curve."""
    loss = total.detach()
    return {"prediction": loss, "by_regions": torch.full_like(loss, float(by_regions))}
