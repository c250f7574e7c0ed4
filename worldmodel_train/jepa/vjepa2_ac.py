"""V-JEPA 2-AC: predict the next frame's latents from a robot's motion (arXiv 2506.09985).

The encoder of another run stays as it is and sees each frame by itself. A predictor is told the
pose of the gripper in each frame and how it changes to the next, and predicts the next latents.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, EpisodeFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.episode_cost import frozen_sight
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.models.beliefs import SeenFrames, roll_out
from worldmodel_train.models.cost import PlainCost, num_built_parameters
from worldmodel_train.models.episode_misfits import refuse_other_pictures
from worldmodel_train.models.flops import Flops, once_each, total
from worldmodel_train.models.frame_causal_predictor import (
    FrameCausalPredictor,
    FrameCausalPredictorConfig,
    frame_causal_forward,
)
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.frozen_frames import FrozenFrames
from worldmodel_train.models.layer_norm import normalised
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import data_head_step, head_forward
from worldmodel_train.models.robot_pose import POSE, pose_after, pose_changes
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import LatentPair, Losses, TokenGrid, Trajectories


class Config(StrictConfig):
    """The defaults are the published ones.

    States of the episodes are poses of a gripper: place, angles and how far it is closed. An action
    is how the pose changes from one frame to the next, taken from the states; what the episodes
    have as actions, often commands, is not read.
    """

    takes: ClassVar[str] = "trajectories"
    actions: ClassVar[int] = POSE
    states: ClassVar[int] = POSE

    encoder: PartConfig
    """The encoder, which stays as it is: `part: target_encoder` of a V-JEPA run. A frame is
    repeated to fill a tubelet."""
    predictor: FrameCausalPredictorConfig = FrameCausalPredictorConfig()
    history: int = Field(default=7, gt=0)
    """Frames that a prediction is made from, at most."""
    rollout: int = Field(default=2, gt=0)
    """Frames that are predicted from the first one and own predictions; their error is added."""

    @model_validator(mode="after")
    def _rolls_out_within_the_history(self) -> "Config":
        if self.rollout > self.history:
            raise ValueError(
                f"rollout={self.rollout} frames need as much history, which is {self.history}; "
                f"use at most {self.history}"
            )
        return self

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=PartConfig(checkpoint=Path("a tiny V-JEPA"), part="target_encoder"),
            predictor=FrameCausalPredictorConfig(width=32, depth=2, heads=2),
            history=3,
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

        def following(frames: int) -> Flops:
            forward = frame_causal_forward(
                self.predictor, sight.width, frames=frames, patches=sight.tokens, beside=2
            )
            told = data_head_step((POSE, self.predictor.width)).times(2 * frames)
            return once_each(forward).plus(told)

        # true frames are given no gradient, those that were predicted are
        true_frames = sight.episodes.steps - 1
        no_gradient = head_forward((sight.width, self.predictor.width)).times(
            -true_frames * sight.tokens
        )
        return PlainCost(
            parameters={"predictor": num_built_parameters(lambda: self._predictor(sight.width))},
            flops={
                "frozen encoder, forward": sight.forward,
                "teacher-forced, forward + backward": following(true_frames).plus(no_gradient),
                "rolled out, forward + backward": total(
                    following(step) for step in range(2, self.rollout + 1)
                ),
            },
        )

    def build(self, data: DataFacts, *, encoder: FrozenPart) -> "VJepa2Ac":
        """A freshly initialised predictor, drawn from torch's global generator.

        Raises:
            ValueError: The part is no encoder, or the episodes have no poses, or not such pictures
                or windows.
        """
        frames = FrozenFrames(encoder)
        if data.episodes is not None:
            self._refuse_other_episodes(data.episodes, frames.patch, encoder.origin)
        predictor = self._predictor(frames.width)
        return VJepa2Ac(frames, predictor, history=self.history, rollout=self.rollout)

    def _predictor(self, width: int) -> FrameCausalPredictor:
        return self.predictor.build(width, actions=POSE, states=POSE)

    def _refuse_other_episodes(self, episodes: EpisodeFacts, patch: int, origin: str) -> None:
        if len(episodes.observation) != 3 or episodes.state_width != POSE:
            raise ValueError(
                f"jepa/vjepa2_ac learns from pictures and poses of {POSE} numbers, and the "
                f"episodes have observations of shape {episodes.observation} and "
                f"{episodes.state_width or 'no'} numbers of states"
            )
        refuse_other_pictures(episodes, patch=patch, key=f"{origin}: encoder.patch")
        if not self.rollout < episodes.steps <= self.history + 1:
            raise ValueError(
                f"data.steps={episodes.steps} is not {self.rollout + 1} (method.rollout and the "
                f"first) to {self.history + 1} (method.history and the next); use "
                f"{self.history + 1}"
            )


class VJepa2Ac(nn.Module):
    """A predictor of frames' latents from motion; a `LatentDynamics`."""

    def __init__(
        self, frames: FrozenFrames, predictor: FrameCausalPredictor, *, history: int, rollout: int
    ) -> None:
        super().__init__()
        self.frames = frames
        self.predictor = predictor
        self.history = history
        self.steps_rolled_out = rollout

    def training_losses(self, content: Trajectories) -> Losses:
        """The L1 error of each next frame from true ones, and that of the first few rolled out.

        `copied` is the error of the last frame's latents taken for the next one's, for comparison.
        """
        if content.valid is not None:
            raise ValueError("jepa/vjepa2_ac takes stretches without padding; cut them equally")
        assert content.states is not None, "build has seen to it"
        latents, grid = self.frames(content.observations)
        seen = SeenFrames(latents, pose_changes(content.states), content.states, grid)
        target = latents[:, 1:]
        forced = self.teacher_forced(seen)
        rolled = self.rolled_out(seen, forced[:, :1])
        errors = {
            "teacher_forced": functional.l1_loss(forced, target),
            "rolled_out": functional.l1_loss(rolled, target[:, : self.steps_rolled_out]),
        }
        copied = functional.l1_loss(latents[:, :-1], target)
        watched = monitored_tokens([[LatentPair(predicted=forced, target=target)]])
        return Losses(
            total=errors["teacher_forced"] + errors["rolled_out"],
            terms={name: error.detach() for name, error in errors.items()} | {"copied": copied},
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def teacher_forced(self, seen: SeenFrames) -> Float[Tensor, "b _ n d"]:
        """The next frame of each but the last, from all true ones up to it."""
        return self._following(seen.latents[:, :-1], seen.actions, seen.states[:, :-1], seen.grid)

    def rolled_out(
        self, seen: SeenFrames, first: Float[Tensor, "b 1 n d"]
    ) -> Float[Tensor, "b r n d"]:
        """The next few frames after the first one, each from those predicted before it.

        `first` is the prediction of the first of them. Gradients go through all. As released, poses
        are the true ones, and the error of `first` counts once more; the paper counts the last's.
        """
        latents = torch.cat((seen.latents[:, :1], first), dim=1)
        for step in range(2, self.steps_rolled_out + 1):
            actions, states = seen.actions[:, :step], seen.states[:, :step]
            following = self._following(latents, actions, states, seen.grid)
            latents = torch.cat((latents, following[:, -1:]), dim=1)
        return latents[:, 1:]

    def encode(
        self,
        observations: UInt8[Tensor, "b t h w c"],
        actions: Float[Tensor, "b t-1 7"],
        states: Float[Tensor, "b t 7"] | None = None,
    ) -> SeenFrames:
        """What the predictor looks back on at the last observation.

        Raises:
            ValueError: Nobody says in which poses the observations were made.
        """
        if states is None:
            raise ValueError(
                "jepa/vjepa2_ac plans from the pose of the gripper too; give the states of the "
                "observations"
            )
        latents, grid = self.frames(observations[:, -self.history :])
        kept = latents.shape[1]
        between = actions[:, actions.shape[1] + 1 - kept :]
        return SeenFrames(latents, between, states[:, -kept:], grid)

    def latent(self, belief: SeenFrames) -> Float[Tensor, "b d"]:
        """That of the last frame, as `rollout` has them; a goal is one."""
        return belief.now()

    def intervene(self, belief: SeenFrames, latent: Float[Tensor, "b d"]) -> SeenFrames:
        """The same past with this for the last frame's latents."""
        return belief.with_now(latent)

    def step(self, belief: SeenFrames, action: Float[Tensor, "b 7"]) -> SeenFrames:
        """The belief after one change of the pose."""
        actions = torch.cat((belief.actions, action[:, None]), dim=1)
        following = self._following(belief.latents, actions, belief.states, belief.grid)[:, -1:]
        pose = pose_after(belief.states[:, -1], action)
        return SeenFrames(
            torch.cat((belief.latents, following), dim=1),
            actions,
            torch.cat((belief.states, pose[:, None]), dim=1),
            belief.grid,
        ).last(self.history)

    def rollout(
        self, belief: SeenFrames, actions: Float[Tensor, "b s h 7"]
    ) -> Float[Tensor, "b s h d"]:
        """The latents after each action, those of all tokens behind each other."""
        return roll_out(self, belief.repeated(actions.shape[1]), actions)

    def energy(self, context: Trajectories, target: Trajectories) -> Float[Tensor, "b"]:
        """The L1 error of what is rolled out of the first observation by changes of the pose."""
        states = context.states
        assert states is not None, "build has seen to it"
        belief = self.encode(context.observations[:, :1], context.actions[:, :0], states[:, :1])
        rolled = self.rollout(belief, pose_changes(states)[:, None])[:, 0]
        seen, _ = self.frames(target.observations[:, 1:])
        return (rolled - seen.flatten(2)).abs().flatten(1).mean(dim=1)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The predictor, with and without weight decay."""
        return parameter_groups(predictor=self.predictor)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The encoder."""
        return {"encoder": self.frames.encoder}

    def _following(
        self,
        latents: Float[Tensor, "b k n d"],
        actions: Float[Tensor, "b k a"],
        states: Float[Tensor, "b k s"],
        grid: TokenGrid,
    ) -> Float[Tensor, "b k n d"]:
        """The frame after each, normalised as latents are."""
        return normalised(self.predictor(latents, actions, states, grid))
