"""A sparse autoencoder: latents as sums of few features out of many (arXiv 2406.04093).

Which features those are says one of three activations, with which all else is the same.

Latents are centred at their geometric median and scaled to a mean square of 1, both measured once
on the first batch, so that directions stay those of the encoder. Each feature is a direction of
length 1. Features that no token has used for long learn from what the others leave unexplained.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.cartography.activations import ActivationConfig, TopK, top
from worldmodel_train.cartography.geometric_median import geometric_median
from worldmodel_train.collectives import copy_from_first_rank, num_ranks, sum_over_ranks
from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Latents, Losses

_LEAST_VARIANCE = 1e-12  # that is divided by


class Config(StrictConfig):
    """How many features, how many at a time, and when one counts as dead."""

    takes: ClassVar[str] = "latents"

    width: int = Field(ge=1)
    """Channels of a latent."""
    features: int = Field(ge=1)
    """Directions to learn."""
    active: int = Field(ge=1)
    """Features of a token: so many at most, on average or aimed at, as `activation` says."""
    activation: ActivationConfig = TopK()
    """Which ones: `topk`, `batch_topk` or `jumprelu`."""
    dead_after: int = Field(ge=1, default=10_000_000)
    """Tokens without a feature after which it is dead, those of all ranks."""
    revived: int | None = Field(ge=1, default=None)
    """Dead features that learn from one token; null for half the width, as published."""
    revival: float = Field(ge=0, default=1 / 32)
    """Weight of the dead features' loss."""

    @classmethod
    def tiny(cls) -> "Config":
        """A few features that train in moments on a CPU, for tests."""
        return cls(width=16, features=32, active=4, dead_after=100)

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Any latents suit it; their width is known when their folder is opened."""
        del facts
        yield from ()

    def preparation(self) -> None:
        """Latents are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted: how many tokens a clip has is known when the folder is opened."""

    def build(self, data: DataFacts | None = None) -> "SparseAutoencoder":
        """A freshly initialised autoencoder, drawn from torch's global generator.

        Raises:
            ValueError: The latents have another width, or more are to be active than there are.
        """
        if self.active > self.features:
            raise ValueError(
                f"method.active={self.active} of method.features={self.features}; use fewer"
            )
        found = None if data is None else data.latent_width
        if found not in (None, self.width):
            raise ValueError(f"method.width={self.width}, but the latents have {found}; use that")
        return SparseAutoencoder(self)


class SparseAutoencoder(nn.Module):
    """Encoder, directions, and how long each has been idle."""

    scale: Tensor
    measured: Tensor
    idle: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        directions = functional.normalize(torch.randn(config.features, config.width), dim=-1)
        self.directions = nn.Parameter(directions)
        self.encoder = nn.Linear(config.width, config.features)
        self.encoder.weight.data.copy_(directions)
        nn.init.zeros_(self.encoder.bias)
        self.center = nn.Parameter(torch.zeros(config.width))
        self.activation = config.activation.build(
            active=config.active, features=config.features, width=config.width
        )
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("measured", torch.zeros((), dtype=torch.bool))
        self.register_buffer("idle", torch.zeros(config.features, dtype=torch.int64))
        self._begun = False

    def training_losses(self, content: Latents) -> Losses:
        """The share of the variance that is not explained, and that of the dead features."""
        tokens = rearrange(content.tokens, "b n d -> (b n) d").float()
        if self.training and not self._begun:
            self._measure_once(tokens)
        latents = tokens / self.scale
        before = self._before(latents)
        active = (self.activation.of_batch if self.training else self.activation)(before)
        error = latents - self._decoded(active)
        variance = _sum_of_squares(latents - latents.mean(0))
        unexplained = _sum_of_squares(error) / variance
        dead = self._dead(active.detach() > 0)
        total = unexplained + self.activation.penalty(before)
        if dead.any():  # the host waits for one number, and spares a second decoding
            total = total + self.config.revival * self._revival(before, error.detach(), dead)
        return Losses(
            total=total,
            terms={
                "explained_variance": 1 - unexplained.detach(),
                "l0": (active.detach() > 0).float().sum(-1).mean(),
                "dead": dead.float().mean(),
            },
        )

    def encode(self, latents: Float[Tensor, "*b d"]) -> Float[Tensor, "*b f"]:
        """How much of each feature there is in latents as the encoder gave them."""
        flat = latents.reshape(-1, latents.shape[-1]).float() / self.scale
        return self.activation(self._before(flat)).reshape(*latents.shape[:-1], -1)

    def decode(self, features: Float[Tensor, "*b f"]) -> Float[Tensor, "*b d"]:
        """The latents that features stand for."""
        flat = features.reshape(-1, features.shape[-1])
        return (self._decoded(flat) * self.scale).reshape(*features.shape[:-1], -1)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All weights, none of which decays."""
        parameters = [*self.parameters()]
        return [ParameterGroup(name="autoencoder", parameters=parameters, weight_decay=False)]

    def after_step(self) -> None:
        """Brings directions back to length 1."""
        self.directions.copy_(functional.normalize(self.directions, dim=-1))

    def _before(self, latents: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        return self.encoder(latents - self.center)

    def _decoded(self, active: Float[Tensor, "n f"]) -> Float[Tensor, "n d"]:
        return self._summed(active).float() + self.center

    def _summed(self, active: Float[Tensor, "n f"]) -> Float[Tensor, "n d"]:
        """The sum of directions.

        As they are normalised here, their gradient has no part along them, which would only be lost
        to `after_step` and still move AdamW's moments.
        """
        return active @ functional.normalize(self.directions, dim=-1).to(active.dtype)

    @torch.no_grad()
    def _measure_once(self, tokens: Float[Tensor, "n d"]) -> None:
        """Centre, scale and thresholds of the first batch of a run, the first rank's for all."""
        self._begun = True
        if self.measured:
            return  # a run that was resumed
        center = geometric_median(tokens)
        self.scale.copy_((tokens - center).square().mean().sqrt().clamp(min=_LEAST_VARIANCE))
        self.center.copy_(center / self.scale)
        self.measured.fill_(value=True)
        copy_from_first_rank(self.scale, self.center.data)
        self.activation.begin(self._before(tokens / self.scale))

    @torch.no_grad()
    def _dead(self, used: Bool[Tensor, "n f"]) -> Bool[Tensor, " f"]:
        """Features that have been idle for too long; training counts on, over all ranks."""
        if self.training:
            found = used.any(0).long()
            sum_over_ranks(found)
            self.idle.copy_(torch.where(found > 0, 0, self.idle + len(used) * num_ranks()))
        return self.idle >= self.config.dead_after

    def _revival(
        self, before: Float[Tensor, "n f"], error: Float[Tensor, "n d"], dead: Bool[Tensor, " f"]
    ) -> Float[Tensor, ""]:
        """The share of the error that dead features leave, less where they are few."""
        most = min(self.config.revived or max(self.config.width // 2, 1), self.config.features)
        active = top(before.masked_fill(~dead, -torch.inf), most)
        left = _sum_of_squares(error - self._summed(active).float())
        share = (dead.sum() / most).clamp(max=1)
        return share * left / _sum_of_squares(error - error.mean(0))


def _sum_of_squares(values: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    return values.square().sum().clamp(min=_LEAST_VARIANCE)
