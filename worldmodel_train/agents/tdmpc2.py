"""TD-MPC2: plan with a learned model over a short horizon, and a learned value beyond it.

Encoder, dynamics, reward and value learn together from windows of episodes; no picture is ever
drawn again. Actions are found by MPPI over the model's rollouts (arXiv 2310.16828).
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.func import functional_call

from worldmodel_train.agents.planning import Planning, return_energy
from worldmodel_train.agents.vector_episodes import require_vectors, rewards_of
from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.losses.two_hot import TwoHot
from worldmodel_train.models.latent_model import LatentModel, LatentSizes
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.q_ensemble import QEnsemble
from worldmodel_train.models.return_scale import ReturnScale
from worldmodel_train.models.squashed_gaussian import SquashedGaussian
from worldmodel_train.planners.mppi import Config as MppiConfig
from worldmodel_train.protocols import EmaPair, Energy, ParameterGroup, Phase
from worldmodel_train.types import Losses, Trajectories


class Config(StrictConfig):
    """The defaults are the published ones, of the model with five million parameters."""

    takes: ClassVar[str] = "trajectories"
    acts: ClassVar[bool] = True

    observations: int = Field(gt=0)
    """Numbers of an observation."""
    actions: int = Field(gt=0)
    """Numbers of an action, each from -1 to 1."""
    latent: int = Field(default=512, gt=0)
    """Channels of a latent."""
    simplex: int = Field(default=8, gt=1)
    """Channels that a softmax is taken over together."""
    encoder_width: int = Field(default=256, gt=0)
    """Hidden channels of the encoder."""
    width: int = Field(default=512, gt=0)
    """Hidden channels of all other networks."""
    values: int = Field(default=5, gt=1)
    """Networks that say what an action is worth."""
    dropout: float = Field(default=0.01, ge=0, lt=1)
    """In these."""
    bins: TwoHot = TwoHot()
    """How rewards and values are said."""
    discount: float = Field(default=0.99, gt=0, lt=1)
    """What a reward is worth one step later; published as 1 - 5 / steps of an episode, from .95 to
    .995."""
    rho: float = Field(default=0.5, gt=0, le=1)
    """What a loss counts one step later in a window."""
    consistency_weight: float = Field(default=20.0, ge=0)
    """Of the predicted latents' distance to the encoded ones."""
    reward_weight: float = Field(default=0.1, ge=0)
    """Of the rewards' cross-entropy."""
    value_weight: float = Field(default=0.1, ge=0)
    """Of the values' cross-entropy."""
    entropy_weight: float = Field(default=1e-4, ge=0)
    """Of the policy's, against the scaled value."""
    momentum: float = Field(default=0.99, ge=0, lt=1)
    """Of the values' copies that targets are made of, and of the returns' scale."""
    encoder_rate: float = Field(default=0.3, gt=0)
    """The encoder's learning rate as a share of the others'."""
    planner: MppiConfig = MppiConfig()
    proposals: int = Field(default=24, ge=0)
    """Candidates of the planner that the policy draws."""

    @model_validator(mode="after")
    def _counts_fit(self) -> "Config":
        if self.latent % self.simplex:
            raise ValueError(
                f"latent={self.latent} is not a multiple of simplex={self.simplex}; use "
                f"{-(-self.latent // self.simplex) * self.simplex}"
            )
        if self.proposals >= self.planner.candidates:
            raise ValueError(
                f"proposals={self.proposals} leave none of planner.candidates="
                f"{self.planner.candidates} to be drawn; use fewer"
            )
        return self

    @property
    def sizes(self) -> LatentSizes:
        """Those of the model."""
        return LatentSizes(
            observations=self.observations,
            actions=self.actions,
            latent=self.latent,
            simplex=self.simplex,
            encoder_width=self.encoder_width,
            width=self.width,
            outputs=self.bins.bins,
        )

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        planner = MppiConfig(candidates=16, elites=4, iterations=2)
        return cls(
            observations=3, actions=2, latent=16, encoder_width=16, width=16, values=3,
            planner=planner, proposals=4,
        )  # fmt: skip

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Nothing before an episode is opened; `build` looks at what it is given."""
        del facts
        yield from ()

    def preparation(self) -> None:
        """Trajectories are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted."""

    def build(self, data: DataFacts | None = None) -> "TdMpc2":
        """A freshly initialised objective, drawn from torch's global generator.

        Raises:
            ValueError: The episodes are not of such observations or actions.
        """
        if data is not None and data.episodes is not None:
            require_vectors("agents/tdmpc2", data.episodes, self.observations, self.actions)
        return TdMpc2(self)


class TdMpc2(LatentModel):
    """The model, what actions are worth by it, and the policy."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.sizes)
        self.config, self.bins = config, config.bins
        latent, width, bins = config.latent, config.width, config.bins.bins
        self.value = QEnsemble(
            members=config.values, inputs=latent + config.actions, width=width, outputs=bins,
            dropout=config.dropout,
        )  # fmt: skip
        self.target_value = copy.deepcopy(self.value).requires_grad_(requires_grad=False)
        self.policy = SquashedGaussian(inputs=latent, width=width, actions=config.actions)
        self.scale = ReturnScale(momentum=config.momentum)

    def train(self, mode: bool = True) -> "TdMpc2":  # noqa: FBT001, FBT002  # torch's signature
        """Targets are made without dropout."""
        super().train(mode)
        self.target_value.eval()
        return self

    def phases(self, content: Trajectories) -> Sequence[Phase]:
        """The model and its values, then the policy on the latents that these came by."""
        parts: list[Tensor] = []

        def model() -> Losses:
            losses, latents = self._model_losses(content)
            parts.append(latents)
            return losses

        def policy() -> Losses:
            (latents,) = parts
            self.scale.update(self._worth(latents[:, 0])[0])
            return self._policy_losses(latents)

        def both(*names: str) -> tuple[str, ...]:
            return (*names, *(f"{name}_no_decay" for name in names))

        groups = both("encoder", "dynamics", "reward", "value")
        return [
            Phase(name="model", groups=groups, losses=model),
            Phase(name="policy", groups=both("policy"), losses=policy),
        ]

    def training_losses(self, content: Trajectories) -> Losses:
        """The losses of both phases, of the weights as they are."""
        model, latents = self._model_losses(content)
        policy = self._policy_losses(latents)
        return Losses(
            total=model.total + policy.total,
            terms={**model.terms, **policy.terms},
            latents=model.latents,
            samples=model.samples,
        )

    def plan_energy(
        self, belief: Float[Tensor, "b d"], generator: torch.Generator | None = None
    ) -> Energy:
        """Minus the return of a plan, whose end is worth what two values say on average."""

        def value(latents: Float[Tensor, "b s d"]) -> Float[Tensor, "b s"]:
            actions, _ = self.policy(latents, generator)
            said = self.value(latents, actions, self.value.draw_two(generator))
            return self.bins.decode(said).mean(dim=0)

        return return_energy(
            belief,
            reward=lambda latents, actions: self.bins.decode(self.reward_logits(latents, actions)),
            value=value,
            discount=self.config.discount,
        )

    def exploring(self) -> Planning:
        """Draws actions as widely as the search still does at its end."""
        return self._planning(noise=1.0)

    def greedy(self) -> Planning:
        """Takes the action that the search gives."""
        return self._planning(noise=0.0)

    def _planning(self, *, noise: float) -> Planning:
        return Planning(
            dynamics=self,
            energy=self.plan_energy,
            policy=self.policy,
            planner=self.config.planner,
            proposals=self.config.proposals,
            noise=noise,
        )

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The values' copies, of which targets are made."""
        momentum = self.config.momentum
        return [EmaPair(student=self.value, teacher=self.target_value, momentum=momentum)]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Each network with and without weight decay; the encoder learns more slowly."""
        encoder = parameter_groups(encoder=self.encoder)
        others = parameter_groups(
            dynamics=self.dynamics, reward=self.reward, value=self.value, policy=self.policy
        )
        rate = self.config.encoder_rate
        return [*(replace(group, rate_scale=rate) for group in encoder), *others]

    def _model_losses(self, content: Trajectories) -> tuple[Losses, Float[Tensor, "b t d"]]:
        """The losses, and the rolled-out latents without gradient."""
        rewards = rewards_of("agents/tdmpc2", content)
        with torch.no_grad():
            following = self.encoder(content.observations[:, 1:])
            targets = rewards + self._continuation(content) * self._target(following)
        first = self.encoder(content.observations[:, 0])
        rolled = self.rollout(first, content.actions[:, None])[:, 0]
        latents = torch.cat((first[:, None], rolled), dim=1)
        before = latents[:, :-1]
        said = self.reward_logits(before, content.actions)
        values = self.value(before, content.actions)
        terms = {
            "consistency": self._over_window((rolled - following).square().mean(dim=-1)),
            "reward": self._over_window(self.bins.loss(said, rewards)),
            "value": self._over_window(
                self.bins.loss(values, targets.expand(len(values), -1, -1)).mean(dim=0)
            ),
        }
        watched = {"predicted": rolled, "target": following}
        losses = Losses(
            total=self.config.consistency_weight * terms["consistency"]
            + self.config.reward_weight * terms["reward"]
            + self.config.value_weight * terms["value"],
            terms={name: term.detach() for name, term in terms.items()},
            latents={name: t.detach().flatten(0, 1).float() for name, t in watched.items()},
            samples=torch.arange(following[..., 0].numel(), device=following.device)
            // following.shape[1],
        )
        return losses, latents.detach()

    def _policy_losses(self, latents: Float[Tensor, "b t d"]) -> Losses:
        """What the policy's actions are not worth, and how little they vary."""
        worth, density = self._worth(latents)
        entropy = self.config.entropy_weight * density
        total = self._over_window(entropy - worth / self.scale.value)
        return Losses(total=total, terms={"entropy": -density.detach().mean()})

    def _worth(
        self, latents: Float[Tensor, "*b d"]
    ) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """What actions of the policy are worth, by values that hold still, and their density."""
        actions, density = self.policy(latents)
        held = {name: weight.detach() for name, weight in self.value.named_parameters()}
        which = self.value.draw_two()
        logits = functional_call(self.value, held, (latents, actions, which))
        return self.bins.decode(logits).mean(dim=0), density

    def _target(self, latents: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """The value of acting by the policy: the lesser of two copies."""
        actions, _ = self.policy(latents)
        logits = self.target_value(latents, actions, self.target_value.draw_two())
        return self.bins.decode(logits).amin(dim=0)

    def _continuation(self, content: Trajectories) -> float | Float[Tensor, "b t"]:
        """What the value of the next observation counts; nothing where the episode ended."""
        if content.ends is None:
            return self.config.discount
        return self.config.discount * (~content.ends).float()

    def _over_window(self, losses: Float[Tensor, "b t"]) -> Float[Tensor, ""]:
        """The mean, of which later steps are a smaller part."""
        later = torch.arange(losses.shape[1], device=losses.device)
        return (losses * self.config.rho**later).mean()
