"""Variational JEPA, and Bayesian JEPA: what hidden latents may be (arXiv 2601.14354).

The predictor says a Gaussian p(Z_T | Z_C) of the hidden latents; the slow copy of the encoder,
which sees the whole clip, has one of its own, q(Z_T | x_T). Trained is

    E_q[-log p(Z_T | Z_C)] + beta KL(q(Z_T | x_T) || p(Z_T | Z_C)),

and with a prior, which makes it Bayesian, p is the product of the predictor's Gaussian and the
prior's (product of experts), and gamma KL(prior || N(0, 1)) is added.
"""

import math
from collections.abc import Iterator, Sequence

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.drawn_masks import (
    clip_lengths,
    masked_flops,
    mean_flops,
    token_table,
)
from worldmodel_train.jepa.gaussian_views import (
    GaussianViews,
    gathered,
    gaussian_pair,
    mean_nats,
)
from worldmodel_train.jepa.half_seen import half_seen
from worldmodel_train.jepa.joint_embedding import TaughtByACopy, tiny_encoder
from worldmodel_train.jepa.mask_misfits import masked_misfits
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.losses.gaussian_kl import (
    Gaussian,
    cross_entropy,
    kl_divergence,
    product_of_experts,
)
from worldmodel_train.masks import MaskConfig, Multiblock3D
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.models.blocks import init_linear
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.flops import (
    encoder_forward,
    encoder_step,
    once_each,
    predictor_forward,
)
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.gaussian_predictor import (
    GaussianPredictor,
    PriorExpert,
    as_gaussian,
    softly_bounded,
)
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import ParameterGroup
from worldmodel_train.types import ClipGroup, Clips, GaussianPair, Losses, MaskedClips


class PriorConfig(StrictConfig):
    """A Gaussian that is learned, of all tokens the same."""

    gamma: float = Field(default=0.1, ge=0)
    """Weight of its divergence from N(0, 1)."""


class Config(StrictConfig):
    """The encoder, the predictor, and how the two Gaussians are held together."""

    encoder: EncoderConfig
    predictor: PredictorConfig
    masks: tuple[MaskConfig, ...] = Field(min_length=1)
    """Mask groups; every clip is masked once by each."""
    beta: float = Field(default=0.01, gt=0)
    """Weight of the divergence of what is seen from what is predicted."""
    log_variance: tuple[float, float] = (-10.0, 5.0)
    """Least and most logarithm of a variance; that of all numbers of a target together is 0."""
    prior: PriorConfig | None = None
    """Makes it Bayesian JEPA."""

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "Config":
        low, high = self.log_variance
        if not low <= -1 <= 0 < high:
            raise ValueError(
                f"log_variance=[{low}, {high}] must be [least, most] around 0, from -1 or less on"
            )
        return self

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=tiny_encoder(),
            predictor=PredictorConfig(width=32, depth=2, heads=2, mask_tokens=2),
            masks=(Multiblock3D(num_blocks=2), Multiblock3D(num_blocks=1)),
            prior=PriorConfig(),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips that are no whole tokens, masks that do not suit them, too few mask tokens."""
        yield from masked_misfits(self.encoder, self.masks, facts)
        tokens, groups = self.predictor.mask_tokens, len(self.masks)
        if tokens < groups:
            message = f"{tokens} mask tokens cannot serve {groups} mask groups; use {groups}"
            yield ("method", "predictor", "mask_tokens"), message

    def preparation(self) -> MaskPreparation:
        """Masks are drawn where clips are read."""
        encoder = self.encoder
        return MaskPreparation(samplers=self.masks, tubelet=encoder.tubelet, patch=encoder.patch)

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, with masks as they will be drawn."""
        encoder, predictor, width = self.encoder, self.predictor, self.encoder.blocks.width
        lengths = clip_lengths(lambda clip: (grid_of(encoder, clip), self.masks), facts)
        # what the copy sees is given no gradient
        spread = head_forward((width, width)).times(2)
        flops = masked_flops(
            lengths,
            target=lambda length: encoder_forward(encoder, length.grid.num_tokens),
            context=lambda _, tokens: encoder_step(encoder, tokens),
            predictor=lambda mask: once_each(
                predictor_forward(predictor, encoder, mask, wider=width)
            ),
        )
        flops["spread, forward + backward"] = mean_flops(
            lengths, lambda length, _: spread.times(length.grid.num_tokens)
        )
        return PlainCost(
            parameters=built_parameters(self.build),
            flops=flops,
            tables=[token_table(lengths)],
        )

    def build(self, data: DataFacts | None = None) -> "VariationalJepa":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return VariationalJepa(self)


class VariationalJepa(TaughtByACopy):
    """An encoder with a slow copy, how sure that is of what it sees, and a predictor of Gaussians.

    The mean of q is the slow copy's, without gradient. Its spread is learned, by a map of the
    copy's latents, from both terms: the first alone would make it 0, the second alone as large as
    p's, which is never less. Together they make it beta / (1 + beta) of p's variance, where they
    begin. So the divergence teaches both Gaussians. It does not teach the encoder's mean: tried,
    with the encoder that is trained seeing the targets too, the divergence drew all that it sees to
    what is predicted.

    Means over q are taken in closed form, not of samples. Samples of a batch are not coupled, so
    ranks need to know nothing of each other.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config.encoder)
        width = config.encoder.blocks.width
        self.config = config
        self.spread = Linear(width, width)
        init_linear(self.spread)
        nn.init.constant_(self.spread.bias, math.log(config.beta / (1 + config.beta)))
        self.predictor = GaussianPredictor(config.predictor, config.encoder)
        self.prior = None if config.prior is None else PriorExpert(width)

    def training_losses(self, content: MaskedClips) -> Losses:
        """Surprise and divergence, in nats for each number; every mask group weighs the same."""
        groups = [self.views(group) for group in content.groups]
        views = [view for group in groups for view in group]
        surprise = mean_nats([cross_entropy(v.seen, v.predicted) for v in views], views)
        divergence = mean_nats([kl_divergence(v.seen, v.predicted) for v in views], views)
        total = surprise + self.config.beta * divergence
        terms = {"surprise": surprise.detach(), "kl": divergence.detach()}
        if self.config.prior is not None:
            of_prior = self._prior_divergence()
            total = total + self.config.prior.gamma * of_prior
            terms["prior_kl"] = of_prior.detach()
        watched = monitored_tokens([[view.pair for view in group] for group in groups])
        return Losses(
            total=total,
            terms=terms,
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def views(self, group: ClipGroup) -> list[GaussianViews]:
        """The Gaussians of each mask group; every network runs once."""
        latents = self.encode(group.clips)
        said = self.spread(latents.flatten(0, 1)).unflatten(0, latents.shape[:2]).float()
        seen = Gaussian(latents, softly_bounded(said, *self.config.log_variance))
        predicted = self.gaussians_from(self.encode_context(group), group)
        return [
            GaussianViews(predicted=one, seen=gathered(seen, mask), valid=mask.target_valid)
            for one, mask in zip(predicted, group.masks, strict=True)
        ]

    def predict(self, group: ClipGroup) -> Sequence[GaussianPair]:
        """Predicted and target means of each mask group, with the predicted variances."""
        return self.predict_gaussians(group)

    def predict_gaussians(self, group: ClipGroup) -> Sequence[GaussianPair]:
        """What is predicted of each mask group's targets, and the mean that the copy sees."""
        predicted = self.gaussians_from(self.encode_context(group), group)
        latents = self.encode(group.clips)
        return [
            gaussian_pair(one, gather_sets(latents, mask.target_index), mask.target_valid)
            for one, mask in zip(predicted, group.masks, strict=True)
        ]

    def predict_from(
        self, contexts: Sequence[Float[Tensor, "b _ d"]], group: ClipGroup
    ) -> Sequence[Float[Tensor, "b _ _ d"]]:
        """The means of the hidden latents, in fp32."""
        return [one.mean for one in self.gaussians_from(contexts, group)]

    def gaussians_from(
        self, contexts: Sequence[Float[Tensor, "b _ d"]], group: ClipGroup
    ) -> list[Gaussian]:
        """The Gaussians of the hidden latents, `b g m d`; with a prior, times the prior's."""
        grid, bounds = self.token_grid(group.clips), self.config.log_variance
        said = self.predictor(contexts, group.masks, grid, range(len(group.masks)))
        predicted = [as_gaussian(one, bounds) for one in said]
        if self.prior is None:
            return predicted
        prior = as_gaussian(self.prior(), bounds)
        return [product_of_experts(one, prior) for one in predicted]

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """-log density of the target's latents as predicted from the context, per number.

        Counted from the least that it could be, so that none is negative.
        """
        group = half_seen(context, self.token_grid(context.pixels))
        (predicted,) = self.gaussians_from(self.encode_context(group), group)
        seen = gather_sets(self.encode(target.pixels), group.masks[0].target_index)
        surprise = -predicted.log_density(seen).flatten(1).mean(dim=1) / seen.shape[-1]
        return surprise - self._least_surprise()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All but the copy, each part with and without weight decay."""
        parts = {"encoder": self.encoder, "spread": self.spread, "predictor": self.predictor}
        if self.prior is not None:
            parts["prior"] = self.prior
        return [group for group in parameter_groups(**parts) if group.parameters]

    def _prior_divergence(self) -> Float[Tensor, ""]:
        """Of the prior from N(0, 1), in nats for each number."""
        assert self.prior is not None
        prior = as_gaussian(self.prior(), self.config.log_variance)
        return kl_divergence(prior, Gaussian.standard(prior.mean)) / len(prior.mean)

    def _least_surprise(self) -> float:
        """That of a prediction which is right and as sure as variances can be."""
        experts = 1 if self.prior is None else 2
        return 0.5 * (self.config.log_variance[0] - math.log(experts) + math.log(2 * math.pi))
