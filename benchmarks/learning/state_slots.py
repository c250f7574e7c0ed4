"""Causal-JEPA on true states instead of slots that are seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.learning.slot_worlds import StateWorld, random_scenes
from worldmodel_train.envs.ball_physics import Laws
from worldmodel_train.envs.balls import Scene
from worldmodel_train.jepa.causal_jepa import CausalJepa, Config
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.frozen_slots import FrozenSlots
from worldmodel_train.models.slot_encoder import SlotEncoderConfig
from worldmodel_train.models.slot_predictor import SlotPredictorConfig

_WIDTH = 48


@dataclass(frozen=True, kw_only=True)
class StateTraining:
    """How a predictor is trained on states."""

    seed: int = 0
    steps: int = 1500
    masked: int = 1
    films: int = 3000
    """For each number of things, drawn once."""
    batch: int = 128
    things: tuple[int, ...] = (2, 3)
    rate: float = 2e-3
    history: int = 4
    horizon: int = 4
    fps: float = 8.0


class Learned(TypedDict):
    """Both predictors, and what they are of."""

    trained: CausalJepa
    untrained: CausalJepa
    world: StateWorld


def learn_states(training: StateTraining) -> Learned:
    """Predictors of the states of two or three discs, before and after training."""
    untrained, trained = (_drawn(training) for _ in range(2))
    world = StateWorld(_WIDTH)
    pools = [_films(world, things, training) for things in training.things]
    optimizer = torch.optim.AdamW(trained.parameters(), lr=training.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.rate, total_steps=training.steps, pct_start=0.05
    )
    for step in range(training.steps):
        pool = pools[step % len(pools)]
        slots = pool[torch.randint(len(pool), (training.batch,))]
        loss = trained.losses_of_slots(slots, *_nothing(slots)).total
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return {"trained": trained.eval(), "untrained": untrained.eval(), "world": world}


def _drawn(training: StateTraining) -> CausalJepa:
    """With the same weights each time; of an encoder there is only the place that it would have."""
    torch.manual_seed(training.seed)
    config = Config(
        encoder=PartConfig(checkpoint=Path("states"), part="encoder"),
        predictor=SlotPredictorConfig(depth=3, heads=4, mlp_ratio=4.0),
        history=training.history,
        horizon=training.horizon,
        masked=training.masked,
    )
    nobody = SlotEncoderConfig(width=_WIDTH, channels=(1,)).build()
    predictor = config.predictor.build(_WIDTH, frames=config.frames, actions=0, states=0)
    return CausalJepa(config, FrozenSlots(FrozenPart(nobody, origin="nobody")), predictor)


def _films(world: StateWorld, things: int, training: StateTraining) -> Float[Tensor, "n t s d"]:
    scene = Scene(things=things, shapes=1, radius=(0.09, 0.15), gravity=0.0, bounce=1.0)
    states = random_scenes(scene, training.films, (training.seed, things))
    frames = training.history + training.horizon
    return world.slots(states, Laws(fps=training.fps), frames, training.history)


def _nothing(slots: Float[Tensor, "n t s d"]) -> tuple[Tensor, Tensor]:
    """Neither actions nor states of oneself."""
    films, frames = slots.shape[:2]
    return slots.new_empty(films, frames - 1, 0), slots.new_empty(films, frames, 0)
