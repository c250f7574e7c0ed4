"""`python -m benchmarks.learning.leworldmodel`: LeWorldModel in two rooms, minutes on one core.

It learns from what a disc sees that moves at random. Then two questions: can position be read off
its latents by a linear map (against the same network untrained), and does planning with it reach
goals (against actions at random, and against the same search with the true world)?
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
import typer
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from sklearn.linear_model import RidgeCV
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.envs.two_rooms import Layout, draw, draw_free, move
from worldmodel_train.evaluation.planning.pilots import TrueWorld
from worldmodel_train.jepa.leworldmodel import Config, LeWorldModel
from worldmodel_train.losses.sigreg import SigReg
from worldmodel_train.models.action_predictor import ActionPredictorConfig
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.planners import cem
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import nearness
from worldmodel_train.types import Trajectories

LAYOUT = Layout()
SEARCH = cem.Config(horizon=8, candidates=64, elites=8, iterations=4)
BOUNDS = Bounds(low=-torch.ones(2), high=torch.ones(2))

Act = Callable[[Float[Tensor, "b 2"]], Float[Tensor, "b h 2"]]
"""From where discs are to what they do next."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a result depends on."""

    seed: int = 0
    steps: int = 600
    """Of AdamW."""
    batch: int = 64
    learning_rate: float = 1e-3
    picture: int = 32
    """Pixels of a side."""
    walks: int = 500
    """Episodes of random actions."""
    walk_length: int = 20
    """Observations of each."""
    probed: int = 2000
    """Pictures that the linear map is fitted to, and half as many that it is tested on."""
    episodes: int = 50
    """Pairs of start and goal, the same for all that plan."""
    budget: int = 40
    """Actions of an episode."""
    replan_every: int = 4
    """Actions of a plan that are done before the next one is made."""
    reached: float = 0.05
    """Distance within which a goal is reached: the radius of the disc."""
    search: cem.Config = SEARCH


def method(settings: Settings) -> Config:
    """The published method, small, and with one frame to look back on, as that tells all here.

    A frame is one token. The mean over tokens of a small encoder forgets which of them holds the
    disc: with 2x2 tokens R^2 of position is 0.29 after 800 steps, with one 0.995 after 600, both of
    seed 0.
    """
    size = BlocksConfig(width=64, depth=2, heads=4)
    return Config(
        actions=2,
        encoder=EncoderConfig(size=size, patch=settings.picture, tubelet=1, position=SinCos2d()),
        predictor=ActionPredictorConfig(depth=2, heads=4, head_width=16, mlp_width=256),
        history=1,
        projector_width=256,
        sigreg=SigReg(directions=256),
    )


def random_walks(settings: Settings) -> Trajectories:
    """What discs see that start anywhere and take random actions."""
    generator = np.random.default_rng(settings.seed)
    states = [draw_free(generator, LAYOUT, settings.walks)]
    actions = generator.uniform(-1, 1, (settings.walk_length - 1, settings.walks, 2))
    for action in actions:
        states.append(move(states[-1], action, LAYOUT))
    stacked = np.stack(states, axis=1)
    return Trajectories(
        observations=torch.from_numpy(draw(stacked, LAYOUT, settings.picture)),
        actions=torch.from_numpy(rearrange(actions, "t b a -> b t a")).float(),
        states=torch.from_numpy(stacked).float(),
    )


def train(objective: LeWorldModel, walks: Trajectories, settings: Settings) -> dict[str, float]:
    """Trains in place; the terms of the loss, averaged over the last tenth of the steps."""
    optimizer = torch.optim.AdamW(objective.parameters(), settings.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _cosine(step, settings.steps)
    )
    terms: list[dict[str, float]] = []
    for content in _batches(walks, objective.history + 1, settings):
        losses = objective.training_losses(content)
        optimizer.zero_grad()
        losses.total.backward()
        clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        terms.append({name: term.item() for name, term in losses.terms.items()})
    last = terms[-max(settings.steps // 10, 1) :]
    return {name: float(np.mean([term[name] for term in last])) for name in last[0]}


def explained(objective: LeWorldModel, settings: Settings) -> float:
    """R^2 of position, read off the latents of pictures never seen by a ridge regression."""
    generator = np.random.default_rng([settings.seed, 1])
    states = draw_free(generator, LAYOUT, settings.probed * 3 // 2)
    latents = _latents(objective, states, settings).double().numpy()
    fitted, tested = slice(0, settings.probed), slice(settings.probed, None)
    probe = RidgeCV(alphas=(1e-4, 1e-2, 1.0, 100.0)).fit(latents[fitted], states[fitted])
    return float(probe.score(latents[tested], states[tested]))


def success(act: Act, settings: Settings) -> dict[str, float]:
    """The share of goals that are reached: all, and those in the other room."""
    states, goals = starts_and_goals(settings)
    across = torch.from_numpy((states[:, 0] < 0.5) != (goals[:, 0] < 0.5))
    reached = np.zeros(len(states), bool)
    done = 0
    while done < settings.budget:
        for action in act(torch.from_numpy(states).float()).unbind(1)[: settings.replan_every]:
            # who is there stays there
            moved = move(states, action.double().numpy(), LAYOUT)
            states = np.where(reached[:, None], states, moved)
            reached |= np.hypot(*(states - goals).T) < settings.reached
            done += 1
    return _shares(torch.from_numpy(reached), across)


def starts_and_goals(settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Places anywhere, in pairs."""
    places = draw_free(np.random.default_rng([settings.seed, 2]), LAYOUT, 2 * settings.episodes)
    return places[: settings.episodes], places[settings.episodes :]


def planner(objective: LeWorldModel, settings: Settings) -> Act:
    """CEM in latent space: the last latent is to be the goal's, by squared distance."""
    _, goals = starts_and_goals(settings)
    goal = _latents(objective, goals, settings)
    search = settings.search.build(BOUNDS)
    generator = torch.Generator().manual_seed(settings.seed)

    def act(states: Float[Tensor, "b 2"]) -> Float[Tensor, "b h 2"]:
        pictures = _pictures(states.numpy(), settings)
        with torch.no_grad():
            belief = objective.encode(pictures, torch.empty(len(states), 0, 2))
        return search.plan(objective, belief, nearness(goal, "l2"), generator=generator).actions

    return act


def planner_of_true_world(settings: Settings) -> Act:
    """The same search where nothing has to be learned: a ceiling for it."""
    _, goals = starts_and_goals(settings)
    search = settings.search.build(BOUNDS)
    generator = torch.Generator().manual_seed(settings.seed)
    energy = nearness(torch.from_numpy(goals).float(), "l2")
    world = TwoRoomGoals(size=settings.picture)
    return lambda states: search.plan(TrueWorld(world), states, energy, generator=generator).actions


def at_random(settings: Settings) -> Act:
    """Even actions."""
    generator = torch.Generator().manual_seed(settings.seed)
    shape = (settings.episodes, settings.replan_every, 2)
    return lambda _states: 2 * torch.rand(shape, generator=generator) - 1


def measure(settings: Settings) -> dict[str, object]:
    """All numbers by name."""
    torch.manual_seed(settings.seed)
    objective = method(settings).build()
    untrained = explained(objective.eval(), settings)
    began = time.perf_counter()
    terms = train(objective.train(), random_walks(settings), settings)
    trained = time.perf_counter()
    objective.eval()
    numbers: dict[str, object] = {
        "loss": terms,
        "position_r2": {"untrained": untrained, "trained": explained(objective, settings)},
        "success": {
            "random actions": success(at_random(settings), settings),
            "planned with the model": success(planner(objective, settings), settings),
            "planned with the true world": success(planner_of_true_world(settings), settings),
        },
    }
    seconds = {"train": trained - began, "measure": time.perf_counter() - trained}
    return numbers | {"seconds": seconds}


def main(seed: int = 0, steps: int = Settings.steps, episodes: int = Settings.episodes) -> None:
    """Prints settings and numbers as JSON."""
    settings = Settings(seed=seed, steps=steps, episodes=episodes)
    values = asdict(settings) | {"search": settings.search.model_dump()}
    typer.echo(json.dumps({"settings": values} | measure(settings), indent=2))


def _batches(walks: Trajectories, frames: int, settings: Settings) -> Iterator[Trajectories]:
    """Stretches of `frames` observations from anywhere in the walks."""
    generator = torch.Generator().manual_seed(settings.seed)
    num_walks, length = walks.observations.shape[:2]
    for _ in range(settings.steps):
        walk = torch.randint(num_walks, (settings.batch, 1), generator=generator)
        first = torch.randint(length - frames + 1, (settings.batch, 1), generator=generator)
        index = first + torch.arange(frames)
        yield Trajectories(
            observations=walks.observations[walk, index],
            actions=walks.actions[walk, index[:, :-1]],
        )


def _latents(
    objective: LeWorldModel, states: np.ndarray, settings: Settings
) -> Float[Tensor, "b d"]:
    with torch.no_grad():
        return objective.encoder(_pictures(states, settings))[:, 0]


def _pictures(states: np.ndarray, settings: Settings) -> UInt8[Tensor, "b 1 h w c"]:
    return torch.from_numpy(draw(states, LAYOUT, settings.picture))[:, None]


def _shares(reached: Bool[Tensor, " b"], across: Bool[Tensor, " b"]) -> dict[str, float]:
    return {
        "all": float(reached.float().mean()),
        "across": float(reached[across].float().mean()),
        "num_across": int(across.sum()),
    }


def _cosine(step: int, steps: int) -> float:
    """Linear warmup over a twentieth, then half a cosine to zero."""
    warmup = max(steps // 20, 1)
    return min((step + 1) / warmup, (1 + math.cos(math.pi * step / steps)) / 2)


if __name__ == "__main__":
    typer.run(main)
