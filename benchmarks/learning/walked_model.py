"""A small LeWorldModel of a world of discs, learned from walks whose actions last for a while.

Such actions cross rooms, which actions drawn anew at each step hardly do. Held ones are what a
coarse model is asked about.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from worldmodel_train.collection.policies import Walk
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.jepa.leworldmodel import Config, LeWorldModel
from worldmodel_train.losses.sigreg import SigReg
from worldmodel_train.models.action_predictor import ActionPredictorConfig
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import Trajectories


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a world model depends on beside its world."""

    seed: int = 0
    steps: int = 800
    """Of AdamW."""
    batch: int = 64
    learning_rate: float = 1e-3
    walks: int = 500
    length: int = 24
    """Actions of a walk."""
    held: int = 4
    """Steps that an action is held for."""


def method(picture: int) -> Config:
    """LeWorldModel, small: one token a frame and one frame to look back on, which tells all here.

    The mean over several tokens of a small encoder forgets which of them holds the disc.
    """
    return Config(
        actions=2,
        encoder=EncoderConfig(
            size=BlocksConfig(width=64, depth=2, heads=4),
            patch=picture,
            tubelet=1,
            position=SinCos2d(),
        ),
        predictor=ActionPredictorConfig(depth=2, heads=4, head_width=16, mlp_width=256),
        history=1,
        projector_width=256,
        sigreg=SigReg(directions=256),
    )


def held_walks(
    world: GoalWorld, places: Float[np.ndarray, "b d"], training: Training
) -> Trajectories:
    """What discs see that begin at `places` and hold random actions."""
    generator = np.random.default_rng([training.seed, 1])
    drawn = generator.uniform(-1, 1, (training.length // training.held, len(places), 2))
    return _walked(world, places, drawn.repeat(training.held, axis=0))


def lasting_walks(
    world: GoalWorld, places: Float[np.ndarray, "b d"], training: Training
) -> Trajectories:
    """What discs see that begin at `places` and change their actions little by little."""
    policy, nothing_seen = Walk(width=2), torch.empty(len(places), 0)
    generator, memory, drawn = torch.Generator().manual_seed(training.seed), None, []
    for _ in range(training.length):
        action, memory = policy.act(nothing_seen, memory, generator=generator)
        drawn.append(action.double().numpy())
    return _walked(world, places, np.stack(drawn))


def _walked(
    world: GoalWorld, places: Float[np.ndarray, "b d"], actions: Float[np.ndarray, "t b a"]
) -> Trajectories:
    states = [places]
    for action in actions:
        states.append(world.move(states[-1], action))
    stacked = np.stack(states, axis=1)
    return Trajectories(
        observations=torch.from_numpy(world.pictures(stacked)),
        actions=torch.from_numpy(rearrange(actions, "t b a -> b t a")).float(),
        states=torch.from_numpy(stacked).float(),
    )


def learn_world(picture: int, walks: Trajectories, training: Training) -> LeWorldModel:
    """A model that has learned from stretches of the walks, in evaluation mode."""
    torch.manual_seed(training.seed)
    model = method(picture).build().train()
    batches = _stretches(walks, model.history + 1, training)
    descend(model, (lambda c=c: model.training_losses(c).total for c in batches), training)
    return model.eval()


def descend(
    module: nn.Module, losses: Iterator[Callable[[], Float[Tensor, ""]]], training: Training
) -> None:
    """A step of AdamW on each loss: warmup over a twentieth, then half a cosine to zero."""
    optimizer = torch.optim.AdamW(module.parameters(), training.learning_rate, weight_decay=1e-3)
    for step, loss in enumerate(losses):
        warmup = (step + 1) / max(training.steps // 20, 1)
        share = min(warmup, (1 + math.cos(math.pi * step / training.steps)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * share
        optimizer.zero_grad()
        loss().backward()
        clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()


def _stretches(walks: Trajectories, frames: int, training: Training) -> Iterator[Trajectories]:
    """Stretches of `frames` observations from anywhere in the walks."""
    generator = torch.Generator().manual_seed(training.seed)
    num_walks, length = walks.observations.shape[:2]
    for _ in range(training.steps):
        walk = torch.randint(num_walks, (training.batch, 1), generator=generator)
        first = torch.randint(length - frames + 1, (training.batch, 1), generator=generator)
        index = first + torch.arange(frames)
        yield Trajectories(
            observations=walks.observations[walk, index],
            actions=walks.actions[walk, index[:, :-1]],
        )
