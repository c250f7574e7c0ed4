"""IWM: what a change of light and colours does to latents (Image World Models, arXiv 2403.00504).

A picture is seen in one look and in part; from that, and from how another look differs, a predictor
says what a slow copy of the encoder sees of the hidden part in the other look. A strong predictor
makes a world model of the encoder's latents (equivariance); a weak one leaves it to the encoder to
forget looks (invariance).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.drawn_masks import clip_lengths, masked_flops, token_table
from worldmodel_train.jepa.half_seen import half_seen
from worldmodel_train.jepa.joint_embedding import TaughtByACopy, tiny_encoder
from worldmodel_train.jepa.mask_misfits import masked_misfits
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.losses.token_mean import token_mean
from worldmodel_train.masks import MaskConfig, Multiblock3D
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.masks.past_and_future import whole_twice
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.flops import (
    encoder_forward,
    encoder_step,
    once_each,
    predictor_forward,
)
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.look_predictor import LookPredictor, told_widths
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.models.views.colours import LOOK, Jitter, change_look
from worldmodel_train.models.views.geometry import PLACE
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import ParameterGroup
from worldmodel_train.types import (
    ClipGroup,
    Clips,
    LatentPair,
    Losses,
    MaskedClips,
)


class Config(StrictConfig):
    """The encoder, the predictor that is told how looks differ, and the looks."""

    encoder: EncoderConfig
    predictor: PredictorConfig
    """A world model where it is deep, as wide as the encoder's is in the paper (18 blocks of 384
    beside a ViT-B); where it is shallow the encoder becomes invariant."""
    masks: tuple[MaskConfig, ...] = Field(min_length=1)
    """Mask groups; every clip is masked once by each."""
    target_look: Jitter = Jitter(blur=0.0, grey=0.0)
    """How the look that is predicted is drawn."""
    seen_look: Jitter = Jitter(blur=0.2, grey=0.2, solarize=0.2)
    """How the look that is seen is drawn: it may have lost what the other has."""
    conditioned: bool = True
    """false tells the predictor nothing of looks: the paper's comparison, which is invariant."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=tiny_encoder(),
            predictor=PredictorConfig(width=32, depth=2, heads=2, mask_token_std=0.02),
            masks=(Multiblock3D(num_blocks=2),),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips that are no whole tokens, and masks that do not suit them."""
        yield from masked_misfits(self.encoder, self.masks, facts)

    def preparation(self) -> MaskPreparation:
        """Masks are drawn where clips are read."""
        encoder = self.encoder
        return MaskPreparation(samplers=self.masks, tubelet=encoder.tubelet, patch=encoder.patch)

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, with masks as they will be drawn."""
        encoder, predictor = self.encoder, self.predictor
        lengths = clip_lengths(lambda clip: (grid_of(encoder, clip), self.masks), facts)
        told = head_forward(told_widths(predictor))
        flops = masked_flops(
            lengths,
            target=lambda length: encoder_forward(encoder, length.grid.num_tokens),
            context=lambda _, tokens: encoder_step(encoder, tokens),
            predictor=lambda mask: once_each(predictor_forward(predictor, encoder, mask)),
        )
        return PlainCost(
            parameters=built_parameters(self.build),
            flops=flops | {"looks, forward + backward": once_each(told)},
            tables=[token_table(lengths)],
        )

    def build(self, data: DataFacts | None = None) -> "ImageWorldModel":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return ImageWorldModel(self)


class ImageWorldModel(TaughtByACopy):
    """An encoder with a slow copy, and a predictor of hidden latents in another look."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.encoder)
        self.config = config
        self.predictor = LookPredictor(config.predictor, config.encoder)

    def training_losses(self, content: MaskedClips) -> Losses:
        """The squared error of hidden latents in another look, every mask group weighing the same.

        Looks come from torch's global generator.
        """
        pairs = [self._in_another_look(group) for group in content.groups]
        errors = [
            token_mean((pair.predicted - pair.target).square(), pair.valid)
            for group in pairs
            for pair in group
        ]
        watched = monitored_tokens(pairs)
        loss = torch.stack(errors).mean()
        return Losses(
            total=loss,
            terms={"prediction": loss.detach()},
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def predict(self, group: ClipGroup) -> Sequence[LatentPair]:
        """Predicted and target latents of each mask group, in the look that clips have."""
        return self._pairs(self.predict_from(self.encode_context(group), group), group)

    def predict_from(
        self, contexts: Sequence[Float[Tensor, "b _ d"]], group: ClipGroup
    ) -> Sequence[Float[Tensor, "b _ _ d"]]:
        """The hidden latents where looks do not change."""
        return self.imagine(contexts, group, torch.zeros(len(group.clips), LOOK))

    def imagine(
        self,
        contexts: Sequence[Float[Tensor, "b _ d"]],
        group: ClipGroup,
        changes: Float[Tensor, "b 7"],
    ) -> list[Float[Tensor, "b _ _ d"]]:
        """The hidden latents of clips whose look is changed by this, in fp32."""
        told = changes if self.config.conditioned else torch.zeros_like(changes)
        grid, device = self.token_grid(group.clips), group.clips.device
        predicted = self.predictor(contexts, group.masks, grid, told.to(device, non_blocking=True))
        return [one.float() for one in predicted]

    def foresee(
        self, clip: UInt8[Tensor, "1 t h w c"], changes: Float[Tensor, "v 13"]
    ) -> Float[Tensor, "v d"]:
        """All tokens of the clip once its look is changed so; of places nothing is told."""
        masks = whole_twice(self.token_grid(clip), len(changes))
        group = ClipGroup(
            clips=clip.expand(len(changes), *clip.shape[1:]),
            masks=(masks.map(lambda tensor: tensor.to(clip.device)),),
        )
        (seen,) = self.encoder(clip)
        contexts = [seen.expand(len(changes), -1, -1)]
        (predicted,) = self.imagine(contexts, group, changes[:, PLACE:])
        return predicted.flatten(1)

    def view_vectors(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b d"]:
        """All tokens of each clip, one after the other."""
        return self.encode(clips).flatten(1)

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The squared error of the target's latents as predicted of an unchanged look."""
        group = half_seen(context, self.token_grid(context.pixels))
        (predicted,) = self.predict_from(self.encode_context(group), group)
        seen = gather_sets(self.encode(target.pixels), group.masks[0].target_index)
        return (predicted - seen).square().flatten(1).mean(dim=1)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder and predictor, each with and without weight decay."""
        return parameter_groups(encoder=self.encoder, predictor=self.predictor)

    def _in_another_look(self, group: ClipGroup) -> list[LatentPair]:
        """What is said of hidden tokens in a look that is not the seen one, and what they are."""
        looks = [
            jitter.draw(len(group.clips))
            for jitter in (self.config.seen_look, self.config.target_look)
        ]
        seen, other = (replace(group, clips=change_look(group.clips, look)) for look in looks)
        predicted = self.imagine(self.encode_context(seen), seen, looks[1] - looks[0])
        return self._pairs(predicted, other)

    def _pairs(
        self, predicted: Sequence[Float[Tensor, "b _ _ d"]], group: ClipGroup
    ) -> list[LatentPair]:
        latents = self.encode(group.clips)
        return [
            LatentPair(
                predicted=one,
                target=gather_sets(latents, mask.target_index),
                valid=mask.target_valid,
            )
            for one, mask in zip(predicted, group.masks, strict=True)
        ]
