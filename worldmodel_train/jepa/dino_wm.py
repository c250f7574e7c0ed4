"""DINO-WM: predict the next frame's patches from actions, on frozen features (arXiv 2411.04983).

The encoder of another run, or an imported one, stays as it is and sees each frame by itself. A
predictor sees the patches of a few frames and what was done in each, and predicts the next ones'.
The paper takes a DINOv2; any encoder of clips or images does here. What was done lies beside the
channels of each patch of its frame. So does what a robot feels of itself there, which is left out
here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from einops import repeat
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, EpisodeFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.episode_cost import frozen_sight
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.models.beliefs import SeenFrames, roll_out, rollout_energy
from worldmodel_train.models.cost import PlainCost, num_built_parameters
from worldmodel_train.models.episode_misfits import (
    refuse_other_actions,
    refuse_other_pictures,
    refuse_other_steps,
)
from worldmodel_train.models.flops import once_each
from worldmodel_train.models.frame_causal_predictor import (
    FrameCausalPredictorConfig,
    frame_causal_forward,
)
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.frozen_frames import FrozenFrames
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import data_head_step
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import LatentPair, Losses, TokenGrid, Trajectories


class Config(StrictConfig):
    """The defaults are the published ones, but for the width that blocks add to: 404 there."""

    takes: ClassVar[str] = "trajectories"

    actions: int = Field(gt=0)
    """Numbers in an action: those of one step, times the steps that one action stands for."""
    encoder: PartConfig
    """The encoder, which stays as it is. One of clips sees a frame repeated to fill a tubelet."""
    predictor: FrameCausalPredictorConfig = FrameCausalPredictorConfig(
        width=1024, depth=6, heads=16, mlp_ratio=2.0
    )
    action_width: int = Field(default=10, gt=0)
    """Channels beside those of each patch that an action is mapped to."""
    history: int = Field(default=3, gt=0)
    """Frames that a prediction is made from, at most."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            actions=2,
            encoder=PartConfig(checkpoint=Path("a tiny V-JEPA"), part="target_encoder"),
            predictor=FrameCausalPredictorConfig(width=32, depth=2, heads=2),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Nothing before an episode is opened; `build` looks at what it is given."""
        del facts
        yield from ()

    def preparation(self) -> None:
        """Trajectories are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> PlainCost | None:
        """Parameters that are trained, and operations of a window.

        None before an episode was opened and the encoder's run was looked at.

        Raises:
            ValueError: As `build` does.
        """
        sight = frozen_sight(facts)
        if sight is None:
            return None
        self._refuse_other_episodes(sight.episodes, sight.encoder.patch, sight.origin)
        frames, width = sight.episodes.steps - 1, sight.width + self.action_width
        forward = frame_causal_forward(
            self.predictor, width, frames=frames, patches=sight.tokens, beside=0
        )
        told = data_head_step((self.actions, self.action_width)).times(frames)
        return PlainCost(
            parameters={"predictor": num_built_parameters(lambda: NextPatches(self, sight.width))},
            flops={
                "frozen encoder, forward": sight.forward,
                "predictor, forward + backward": once_each(forward).plus(told),
            },
        )

    def build(self, data: DataFacts, *, encoder: FrozenPart) -> "DinoWm":
        """A freshly initialised predictor, drawn from torch's global generator.

        Raises:
            ValueError: The part is no encoder, or the episodes are not of such pictures, actions or
                windows.
        """
        frames = FrozenFrames(encoder)
        if data.episodes is not None:
            self._refuse_other_episodes(data.episodes, frames.patch, encoder.origin)
        predictor = NextPatches(self, frames.width)
        return DinoWm(frames, predictor, history=self.history)

    def _refuse_other_episodes(self, episodes: EpisodeFacts, patch: int, origin: str) -> None:
        refuse_other_actions(episodes, method="jepa/dino_wm", actions=self.actions)
        refuse_other_pictures(episodes, patch=patch, key=f"{origin}: encoder.patch")
        refuse_other_steps(episodes, least=2, history=self.history)


class DinoWm(nn.Module):
    """A predictor of frames' patches from actions; a `LatentDynamics`."""

    def __init__(self, frames: FrozenFrames, predictor: "NextPatches", *, history: int) -> None:
        super().__init__()
        self.frames = frames
        self.predictor = predictor
        self.history = history

    def training_losses(self, content: Trajectories) -> Losses:
        """The squared error of each next frame's patches, all frames before it being true ones.

        `copied` is the error of the last frame's patches taken for the next one's, for comparison.
        """
        if content.valid is not None:
            raise ValueError("jepa/dino_wm takes stretches without padding; cut them equally")
        seen = self._seen(content.observations, content.actions)
        target = seen.latents[:, 1:]
        predicted = self.predictor(seen.latents[:, :-1], seen.actions, seen.grid)
        loss = functional.mse_loss(predicted, target)
        watched = monitored_tokens([[LatentPair(predicted=predicted, target=target)]])
        return Losses(
            total=loss,
            terms={
                "prediction": loss.detach(),
                "copied": functional.mse_loss(seen.latents[:, :-1], target),
            },
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def encode(
        self, observations: UInt8[Tensor, "b t h w c"], actions: Float[Tensor, "b t-1 a"]
    ) -> SeenFrames:
        """What the predictor looks back on at the last observation."""
        recent = observations[:, -self.history :]
        return self._seen(recent, actions[:, actions.shape[1] + 1 - recent.shape[1] :])

    def latent(self, belief: SeenFrames) -> Float[Tensor, "b d"]:
        """That of the last frame, as `rollout` has them; a goal is one."""
        return belief.now()

    def intervene(self, belief: SeenFrames, latent: Float[Tensor, "b d"]) -> SeenFrames:
        """The same past with this for the last frame's patches."""
        return belief.with_now(latent)

    def step(self, belief: SeenFrames, action: Float[Tensor, "b a"]) -> SeenFrames:
        """The belief after one action."""
        actions = torch.cat((belief.actions, action[:, None]), dim=1)
        following = self.predictor(belief.latents, actions, belief.grid)[:, -1:]
        latents = torch.cat((belief.latents, following), dim=1)
        return SeenFrames(latents, actions, told_nothing(latents), belief.grid).last(self.history)

    def rollout(
        self, belief: SeenFrames, actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """The latents after each action, those of all patches behind each other."""
        return roll_out(self, belief.repeated(actions.shape[1]), actions)

    def energy(self, context: Trajectories, target: Trajectories) -> Float[Tensor, "b"]:
        """The squared error of the latents rolled out of the first observation."""
        belief = self.encode(context.observations[:, :1], context.actions[:, :0])
        return rollout_energy(self, belief, context, target)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The predictor, with and without weight decay."""
        return parameter_groups(predictor=self.predictor)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The encoder."""
        return {"encoder": self.frames.encoder}

    def _seen(
        self, observations: UInt8[Tensor, "b t h w c"], actions: Float[Tensor, "b t-1 a"]
    ) -> SeenFrames:
        latents, grid = self.frames(observations)
        return SeenFrames(latents, actions, told_nothing(latents), grid)


class NextPatches(nn.Module):
    """Patches and actions to the patches one frame on."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        self.action_embed = Linear(config.actions, config.action_width)
        self.transformer = config.predictor.build(width + config.action_width, actions=0, states=0)

    def forward(
        self, latents: Float[Tensor, "b t n d"], actions: Float[Tensor, "b t a"], grid: TokenGrid
    ) -> Float[Tensor, "b t n d"]:
        """In fp32, as what is added to each patch.

        The published stream begins with the patches themselves, so that to leave one as it was is
        near. Ours is as wide as one likes, and it is near by the sum.
        """
        done = self.action_embed(actions.flatten(0, 1)).unflatten(0, actions.shape[:2])
        channels = repeat(done, "b t d -> b t n d", n=latents.shape[2])
        nothing = told_nothing(latents)
        seen = torch.cat((latents, channels), dim=-1)
        changes = self.transformer(seen, nothing, nothing, grid)[..., : latents.shape[-1]]
        return latents + changes.float()


def told_nothing(latents: Float[Tensor, "b k n d"]) -> Float[Tensor, "b k 0"]:
    """No number for each frame."""
    return latents.new_empty(*latents.shape[:2], 0)
