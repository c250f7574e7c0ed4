"""LeWorldModel: predict the next frame's latent from the action (arXiv 2603.19312).

Encoder and predictor learn together, end to end. Neither a slow copy nor a stopped gradient keeps
the latents from collapsing, but SIGReg, which holds them to an isotropic Gaussian.
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
from worldmodel_train.losses.sigreg import SigReg
from worldmodel_train.models.action_predictor import (
    ActionPredictor,
    ActionPredictorConfig,
    action_predictor_step,
)
from worldmodel_train.models.beliefs import History, roll_out, rollout_energy
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.episode_misfits import (
    refuse_other_actions,
    refuse_other_pictures,
    refuse_other_steps,
    refuse_tubelets,
)
from worldmodel_train.models.flops import encoder_forward, encoder_step, once_each
from worldmodel_train.models.frame_encoder import FrameEncoder, projector
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import LatentPair, Losses, Trajectories


class Config(StrictConfig):
    """The defaults are the published ones.

    The published code scales each number of an action to mean 0 and spread 1 over the data set:
    give `data.actions` for that.
    """

    takes: ClassVar[str] = "trajectories"

    actions: int = Field(gt=0)
    """Numbers in an action: those of one step, times the steps that one action stands for."""
    encoder: EncoderConfig = EncoderConfig(
        size="vit_tiny", patch=14, tubelet=1, position=SinCos2d()
    )
    """Sees each frame by itself. A latent is the mean of its tokens; the published one is that of a
    class token, which our encoders lack. A mean tells less of where things are."""
    predictor: ActionPredictorConfig = ActionPredictorConfig()
    history: int = Field(default=3, gt=0)
    """Frames that a prediction is made from, at most."""
    projector_width: int = Field(default=2048, gt=0)
    """Hidden channels of the two maps into the space of latents."""
    sigreg: SigReg = SigReg()
    sigreg_weight: float = Field(default=0.09, gt=0)
    """Of SIGReg, which grows with the micro-batches of all ranks; published for 128 in all."""
    train_encoder: bool = True
    """false leaves its weights as they were drawn, all but the statistics of its norm: what a
    predictor learns alone is the floor to beat."""

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
            predictor=ActionPredictorConfig(depth=1, heads=2, head_width=16, mlp_width=64),
            projector_width=64,
            sigreg=SigReg(directions=64),
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
        project, steps = head_forward((width, self.projector_width, width)), episodes.steps - 1
        seen = ("frames, forward", encoder_forward(self.encoder, tokens).plus(project))
        if self.train_encoder:
            learned = encoder_step(self.encoder, tokens).plus(once_each(project))
            seen = ("frames, forward + backward", learned)
        predicted = action_predictor_step(
            self.predictor, width, actions=self.actions, steps=steps
        ).plus(once_each(project).times(steps))
        return PlainCost(
            parameters=built_parameters(self.build),
            flops={
                seen[0]: seen[1].times(episodes.steps),
                "predictor, forward + backward": predicted,
            },
        )

    def build(self, data: DataFacts | None = None) -> "LeWorldModel":
        """A freshly initialised objective, drawn from torch's global generator.

        Raises:
            ValueError: The episodes are not of such pictures, actions or windows.
        """
        if data is not None and data.episodes is not None:
            self._refuse_other_episodes(data.episodes)
        return LeWorldModel(self)

    def _refuse_other_episodes(self, episodes: EpisodeFacts) -> None:
        refuse_other_actions(episodes, method="jepa/leworldmodel", actions=self.actions)
        refuse_other_pictures(episodes, patch=self.encoder.patch, key="method.encoder.patch")
        refuse_other_steps(episodes, least=2, history=self.history)


class LeWorldModel(nn.Module):
    """An encoder of single frames, and a predictor of its next output; a `LatentDynamics`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.encoder.blocks.width
        self.history = config.history
        self.sigreg = config.sigreg
        self.sigreg_weight = config.sigreg_weight
        self.encoder = FrameEncoder(config.encoder.build(), width, config.projector_width)
        self.encoder.requires_grad_(config.train_encoder)
        self.predictor = NextLatent(
            config.predictor.build(width, actions=config.actions, history=config.history),
            width,
            config.projector_width,
        )

    def training_losses(self, content: Trajectories) -> Losses:
        """The squared error of the next latents, and how far latents are from a Gaussian."""
        if content.valid is not None:
            raise ValueError("jepa/leworldmodel takes stretches without padding; cut them equally")
        latents = self.encoder(content.observations)
        predicted, target = self.predictor(latents[:, :-1], content.actions), latents[:, 1:]
        prediction = functional.mse_loss(predicted, target)
        sigreg = self.sigreg.loss(rearrange(latents, "b t d -> t b d"))
        pair = LatentPair(predicted=predicted[:, None], target=target[:, None].detach())
        watched = monitored_tokens([[pair]])
        return Losses(
            total=prediction + self.sigreg_weight * sigreg,
            terms={"prediction": prediction.detach(), "sigreg": sigreg.detach()},
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def encode(
        self, observations: UInt8[Tensor, "b t h w c"], actions: Float[Tensor, "b t-1 a"]
    ) -> History:
        """What the predictor looks back on at the last observation."""
        assert not self.training, "batch norms would mix what is planned; call eval() first"
        latents = self.encoder(observations[:, -self.history :])
        first = actions.shape[1] + 1 - latents.shape[1]
        return History(latents, actions[:, first:])

    def latent(self, belief: History) -> Float[Tensor, "b d"]:
        """The last one."""
        return belief.latents[:, -1]

    def intervene(self, belief: History, latent: Float[Tensor, "b d"]) -> History:
        """The same past with this for the last latent."""
        return belief.with_now(latent)

    def step(self, belief: History, action: Float[Tensor, "b a"]) -> History:
        """The belief after one action."""
        assert not self.training, "batch norms would mix what is planned; call eval() first"
        actions = torch.cat((belief.actions, action[:, None]), dim=1)
        following = self.predictor(belief.latents, actions)[:, -1:]
        return History(torch.cat((belief.latents, following), dim=1), actions).last(self.history)

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
        """Encoder and predictor, each with and without weight decay."""
        return parameter_groups(encoder=self.encoder, predictor=self.predictor)


class NextLatent(nn.Module):
    """Latents and actions to the latents one step on, by a map like the encoder's last."""

    def __init__(self, transformer: ActionPredictor, width: int, hidden: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.projector = projector(width, hidden)

    def forward(
        self, latents: Float[Tensor, "b t d"], actions: Float[Tensor, "b t a"]
    ) -> Float[Tensor, "b t d"]:
        """In fp32."""
        outputs = self.transformer(latents, actions)
        return self.projector(outputs.flatten(0, 1)).float().unflatten(0, (len(latents), -1))
