"""PLDM: a latent dynamics model that is learned end to end and planned with (arXiv 2502.14819).

One latent of each frame. From the first frame's, a predictor is told the actions and rolls out all
others. Five terms, of which the first alone would have all latents the same:

    prediction: the squared error of the latents that were rolled out, without stopped gradients
    variance, covariance: VICReg's, over the batch, at each time step
    smoothness: the squared difference of a latent and the next
    inverse: the squared error of the action, read off a latent and the next

Each is a mean over all numbers it is of, as in the released code, whose weights the defaults are;
the paper writes sums over time and channels. That code takes variance and covariance at the first
frame alone and adds a variance over time; here they are those of the paper, at all frames.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, EpisodeFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.episode_cost import frame_tokens
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.losses.vicreg import covariance_loss, variance_loss
from worldmodel_train.models.beliefs import History, roll_out, rollout_energy
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.episode_misfits import (
    refuse_other_actions,
    refuse_other_pictures,
    refuse_tubelets,
)
from worldmodel_train.models.flops import encoder_step, once_each
from worldmodel_train.models.frame_encoder import FrameEncoder
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import data_head_step, head_forward
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import LatentPair, Losses, Trajectories


class Weights(StrictConfig):
    """Of the terms beside the prediction; the defaults are those released for two rooms."""

    variance: float = Field(default=3.0, ge=0)
    """alpha: of what the spread of a channel lacks to 1."""
    covariance: float = Field(default=6.9238, ge=0)
    """beta: of squared covariances of channels."""
    smoothness: float = Field(default=0.74242, ge=0)
    """delta: of how far latents move in a step."""
    inverse: float = Field(default=1.072, ge=0)
    """omega: of actions that cannot be read off two latents."""


class Config(StrictConfig):
    """The defaults are the published ones, but for the encoder: a convolutional network there."""

    takes: ClassVar[str] = "trajectories"

    actions: int = Field(gt=0)
    """Numbers in an action: those of one step, times the steps that one action stands for."""
    encoder: EncoderConfig = EncoderConfig(
        size=BlocksConfig(width=512, depth=6, heads=8), patch=16, tubelet=1, position=SinCos2d()
    )
    """Sees each frame by itself; a latent is as wide, and is the mean of its tokens, projected."""
    projector_width: int = Field(default=2048, gt=0)
    """Hidden channels of the map from that mean to a latent."""
    inverse_width: int = Field(default=512, gt=0)
    """Hidden channels of the map from two latents to the action between them."""
    rollout: int = Field(default=16, gt=0)
    """Frames that are predicted from the first one; a window has one more."""
    weights: Weights = Weights()
    """Of the terms beside the prediction."""

    @model_validator(mode="after")
    def _frames_are_seen_alone(self) -> "Config":
        refuse_tubelets(self.encoder)
        return self

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            actions=2,
            encoder=EncoderConfig(
                size=BlocksConfig(width=32, depth=1, heads=2),
                patch=8,
                tubelet=1,
                position=SinCos2d(),
            ),
            projector_width=64,
            inverse_width=32,
            rollout=3,
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Nothing before an episode is opened; `build` looks at what it is given."""
        del facts
        yield from ()

    def preparation(self) -> None:
        """Trajectories are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> PlainCost | None:
        """Parameters and operations of a window; None before an episode was opened.

        Raises:
            ValueError: The episodes are not of such pictures, actions or windows.
        """
        episodes = facts.data.episodes
        if episodes is None:
            return None
        self._refuse_other_episodes(episodes)
        width, tokens = self.encoder.blocks.width, frame_tokens(self.encoder, episodes)
        project = head_forward((width, self.projector_width, width))
        frame = encoder_step(self.encoder, tokens).plus(once_each(project))
        gates = 3 * width
        following = once_each(head_forward((width, gates))).plus(
            data_head_step((self.actions, gates))
        )
        acted = once_each(head_forward((2 * width, self.inverse_width, self.actions)))
        return PlainCost(
            parameters=built_parameters(self.build),
            flops={
                "frames, forward + backward": frame.times(self.rollout + 1),
                "predictor, forward + backward": following.times(self.rollout),
                "inverse dynamics, forward + backward": acted.times(self.rollout),
            },
        )

    def build(self, data: DataFacts | None = None) -> "Pldm":
        """A freshly initialised objective, drawn from torch's global generator.

        Raises:
            ValueError: The episodes are not of such pictures, actions or windows.
        """
        if data is not None and data.episodes is not None:
            self._refuse_other_episodes(data.episodes)
        return Pldm(self)

    def _refuse_other_episodes(self, episodes: EpisodeFacts) -> None:
        refuse_other_actions(episodes, method="jepa/pldm", actions=self.actions)
        refuse_other_pictures(episodes, patch=self.encoder.patch, key="method.encoder.patch")
        if episodes.steps != self.rollout + 1:
            raise ValueError(
                f"data.steps={episodes.steps} is not method.rollout={self.rollout} and the first; "
                f"use {self.rollout + 1}"
            )


class Pldm(nn.Module):
    """An encoder of single frames, and a predictor of the next latent; a `LatentDynamics`.

    Its belief is a `History` of one latent and no action: the predictor looks back no further.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.encoder.blocks.width
        self.weights = config.weights
        self.encoder = FrameEncoder(config.encoder.build(), width, config.projector_width)
        self.norm = LastNorm(width)
        self.predictor = NextLatent(config.actions, width)
        self.inverse = nn.Sequential(
            Linear(2 * width, config.inverse_width),
            nn.ReLU(),
            Linear(config.inverse_width, config.actions),
        )

    def training_losses(self, content: Trajectories) -> Losses:
        """The five terms, weighted."""
        if content.valid is not None:
            raise ValueError("jepa/pldm takes stretches without padding; cut them equally")
        latents, actions = self.latents(content.observations), content.actions
        predicted, target = self.rolled_out(latents[:, 0], actions), latents[:, 1:]
        over_time = rearrange(latents, "b t d -> t b d")
        terms = {
            "prediction": functional.mse_loss(predicted, target),
            "variance": variance_loss(over_time),
            "covariance": covariance_loss(over_time),
            "smoothness": functional.mse_loss(latents[:, 1:], latents[:, :-1]),
            "inverse": functional.mse_loss(self.acted(latents), actions),
        }
        weights = {"prediction": 1.0, **self.weights.model_dump()}
        pair = LatentPair(predicted=predicted[:, None], target=target[:, None].detach())
        watched = monitored_tokens([[pair]])
        return Losses(
            total=torch.stack([weights[name] * term for name, term in terms.items()]).sum(),
            terms={name: term.detach() for name, term in terms.items()},
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def rolled_out(
        self, first: Float[Tensor, "b d"], actions: Float[Tensor, "b t a"]
    ) -> Float[Tensor, "b t d"]:
        """The latents after each action, from the first latent and predictions alone."""
        now, latents = first, []
        for action in actions.unbind(dim=1):
            now = self._following(now, action)
            latents.append(now)
        return torch.stack(latents, dim=1)

    def acted(self, latents: Float[Tensor, "b t d"]) -> Float[Tensor, "b _ a"]:
        """What is taken for the action between a latent and the next, in fp32."""
        pairs = torch.cat((latents[:, :-1], latents[:, 1:]), dim=-1)
        return self.inverse(pairs.flatten(0, 1)).float().unflatten(0, pairs.shape[:2])

    def encode(
        self, observations: UInt8[Tensor, "b t h w c"], actions: Float[Tensor, "b t-1 a"]
    ) -> History:
        """The last observation's latent."""
        assert not self.training, "batch norms would mix what is planned; call eval() first"
        return History(self.latents(observations[:, -1:]), actions[:, :0])

    def latent(self, belief: History) -> Float[Tensor, "b d"]:
        """The one."""
        return belief.latents[:, -1]

    def intervene(self, belief: History, latent: Float[Tensor, "b d"]) -> History:
        """The belief in another latent."""
        return belief.with_now(latent)

    def step(self, belief: History, action: Float[Tensor, "b a"]) -> History:
        """The belief after one action."""
        following = self._following(belief.latents[:, -1], action)
        return History(following[:, None], belief.actions)

    def rollout(
        self, belief: History, actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """The latent after each action, for `s` candidates of each belief."""
        return roll_out(self, belief.repeated(actions.shape[1]), actions)

    def energy(self, context: Trajectories, target: Trajectories) -> Float[Tensor, "b"]:
        """The squared error of the latents rolled out of the first observation."""
        belief = self.encode(context.observations[:, :1], context.actions[:, :0])
        return rollout_energy(self, belief, context, target)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """No copy follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder, norm, predictor and inverse dynamics, each with and without weight decay."""
        return parameter_groups(
            encoder=self.encoder, norm=self.norm, predictor=self.predictor, inverse=self.inverse
        )

    def latents(self, frames: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b t d"]:
        """Each frame's, through the norm that predictions go through as well; in fp32."""
        latents = self.encoder(frames)
        return self.norm(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])

    def _following(
        self, latents: Float[Tensor, "b d"], actions: Float[Tensor, "b a"]
    ) -> Float[Tensor, "b d"]:
        """A step of the predictor, through the norm of the encoder's latents; in fp32."""
        with torch.autocast(latents.device.type, enabled=False):
            return self.norm(self.predictor(latents, actions))


class NextLatent(nn.Module):
    """A gated recurrent unit whose state is the latent."""

    def __init__(self, actions: int, width: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(actions, width)

    def forward(
        self, latents: Float[Tensor, "b d"], actions: Float[Tensor, "b a"]
    ) -> Float[Tensor, "b d"]:
        """In fp32, also where the weights were gathered in bf16."""
        kind = self.cell.weight_ih.dtype
        return self.cell(actions.to(kind), latents.to(kind)).float()
