"""Whether habit keeps up with thought, and whether thinking in two levels sees further.

    python -m benchmarks.learning.cognitive habits --seed 0
    python -m benchmarks.learning.cognitive levels --seed 0

`habits`, in two rooms: how many goals a cognitive agent reaches in Mode-2, which searches its world
model, and in Mode-1, a policy that was distilled from such searches, before and after it practises
in the world model; and what an action costs.
`levels`, in three rooms, goals two doors away: a coarse search that gives subgoals to a fine one,
beside flat searches that call a model as often. No goal that is measured was learned from.
"""

import json
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
import typer
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.learning.goal_trials import Settings, bounds, by_rules, drawn, told
from benchmarks.learning.subgoals import levels
from benchmarks.learning.walked_model import Training, held_walks, lasting_walks, learn_world
from worldmodel_train.agents.cognitive import Actor, CognitiveAgent, Cost, Mode
from worldmodel_train.agents.goal_networks import Critic, ReactivePolicy
from worldmodel_train.agents.practice import Practice
from worldmodel_train.agents.regression import Regression, regress
from worldmodel_train.agents.short_term_memory import Lessons
from worldmodel_train.envs.disc_rooms import draw_free
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.three_room_goals import ThreeRoomGoals
from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.evaluation.planning.agent_pilot import AgentPilot
from worldmodel_train.evaluation.planning.closed_loop import Attempts, Goals, attempt
from worldmodel_train.jepa.leworldmodel import LeWorldModel
from worldmodel_train.planners.replanning import Replanning
from worldmodel_train.types import Trajectories

AT_ONCE = 50  # searches that go through the model together
NEAR = 6  # steps within which a goal is near


def habits(
    world: TwoRoomGoals, model: LeWorldModel, walks: Trajectories, settings: Settings
) -> dict[str, object]:
    """Goals reached in both modes, with and without the critic, and by rules."""
    agent = agent_of(model, settings)
    goals = drawn(world, settings.goals, [settings.training.seed, 6])
    teach_policy(agent, world, walks, settings)
    found = {"Mode-1": _live(agent, world, goals, Mode.REACT, settings)}
    practise(agent, walks, settings)
    found |= {
        "Mode-1 after practice": _live(agent, world, goals, Mode.REACT, settings),
        "Mode-2": _live(agent, world, goals, Mode.PLAN, settings),
    }
    error = teach_critic(agent, world, settings)
    asking = agent_of(model, settings, critic=agent.cost.critic)
    found["Mode-2 that asks the critic"] = _live(asking, world, goals, Mode.PLAN, settings)
    found |= by_rules(world, goals, settings.budget)
    door = world.kinds(goals.starts, goals.goals)["through the door"]
    return {
        "critic's squared error, over the variance": error,
        "reached": {name: told(each) for name, each in found.items()},
        "through the door": {
            name: float(each.reached[door].mean()) for name, each in found.items()
        },
        "goals through the door": int(door.sum()),
        "times faster": found["Mode-2"].seconds_per_action
        / found["Mode-1 after practice"].seconds_per_action,
    }


def agent_of(
    model: LeWorldModel, settings: Settings, critic: Critic | None = None
) -> CognitiveAgent[Any]:
    """An agent whose Mode-1 has learned nothing; it asks the critic where one is given."""
    torch.manual_seed(settings.training.seed)
    width = _width(model)
    return CognitiveAgent(
        model=model,
        cost=Cost(
            distance="l2",
            counted="nearest",
            way=0.3,
            critic=critic or Critic(latents=width),
            critic_weight=0.0 if critic is None else 1.0,
        ),
        actor=Actor(
            policy=ReactivePolicy(latents=width, actions=2, width=256, features=16),
            search=Replanning(settings.search.build(bounds()), seed=settings.training.seed),
        ),
    )


def teach_policy(
    agent: CognitiveAgent[Any], world: GoalWorld, walks: Trajectories, settings: Settings
) -> None:
    """Has Mode-1 learn what Mode-2 would do between pictures of the walks, then where it goes.

    Every other batch of pairs is from anywhere, and the others a few steps apart in one walk: the
    last steps to a goal need the most care, and are seldom among pairs from anywhere.
    """
    generator = torch.Generator().manual_seed(settings.training.seed)
    pictures, lessons = walks.observations, []
    num_walks, length = pictures.shape[:2]
    for begin in range(0, settings.lessons, AT_ONCE):
        count = min(AT_ONCE, settings.lessons - begin)
        walk, other = torch.randint(num_walks, (2, count), generator=generator)
        now, later = torch.randint(length, (2, count), generator=generator)
        if begin // AT_ONCE % 2:
            steps = torch.randint(NEAR + 1, (count,), generator=generator)
            other, later = walk, (now + steps).clamp(max=length - 1)
        with torch.no_grad():
            agent.pursue(pictures[other, later][:, None], Mode.LEARN, actions=2)
            nothing_done = torch.empty(count, 0, 2)
            agent.act(pictures[walk, now][:, None], nothing_done, count=settings.ahead)
        lessons.append(agent.memory.lessons_of_advice())
    _teach(agent.actor.policy, Lessons.joined(lessons), settings)
    for number in range(settings.rounds):
        goals = drawn(world, settings.round_goals, [settings.training.seed, 5, number])
        pilot = AgentPilot(agent=agent, world=world).pursue(goals.goals, Mode.LEARN)
        attempt(world, goals, pilot, budget=settings.round_budget, replan_every=settings.ahead)
        lessons.append(agent.memory.lessons_of_advice())
        _teach(agent.actor.policy, Lessons.joined(lessons), settings)


def practise(agent: CognitiveAgent[Any], walks: Trajectories, settings: Settings) -> None:
    """Has Mode-1 do better in imagination, between pictures from anywhere in the walks."""
    generator = torch.Generator().manual_seed(settings.training.seed)
    pictures = walks.observations.flatten(0, 1)[:, None]
    count, see = settings.practice_batch, agent.perception

    def draw() -> tuple[Any, Float[Tensor, "b d"]]:
        now, wanted = torch.randint(len(pictures), (2, count), generator=generator)
        with torch.no_grad():
            belief = see.see(pictures[now], torch.empty(count, 0, 2))
            return belief, see.recognise(pictures[wanted], actions=2)

    practice = Practice(settings.practice, model=agent.world_model, energy=agent.cost.energy)
    practice.improve(agent.actor.policy, draw)


def teach_critic(agent: CognitiveAgent[Any], world: TwoRoomGoals, settings: Settings) -> float:
    """Has the critic learn from episodes of Mode-2; its squared error there, over the variance.

    In a world where nobody has arrived: what it costs to be near a goal is to be learned, too.
    """
    goals = drawn(world, settings.critic_goals, [settings.training.seed, 4])
    _live(agent, replace(world, reach=0.0), goals, Mode.PLAN, settings)
    lessons = agent.memory.lessons_of_cost(window=3)
    return _teach(agent.cost.critic, lessons, settings) / float(lessons.targets.var())


def _live(
    agent: CognitiveAgent[Any], world: GoalWorld, goals: Goals, mode: Mode, settings: Settings
) -> Attempts:
    pilot = AgentPilot(agent=agent, world=world).pursue(goals.goals, mode)
    return attempt(world, goals, pilot, budget=settings.budget, replan_every=settings.replan_every)


def _teach(network: nn.Module, lessons: Lessons, settings: Settings) -> float:
    generator = torch.Generator().manual_seed(settings.training.seed)
    inputs = lessons.latents, lessons.goals
    return regress(network, inputs, lessons.targets, settings.regression, generator)


def _width(model: LeWorldModel) -> int:
    last = model.encoder.projector[-1]
    assert isinstance(last, nn.Linear)
    return last.out_features


def main(part: str, seed: int = 0) -> None:
    """Prints settings and numbers as JSON; `part` is habits or levels."""
    settings = settings_of(part, seed)
    began = time.perf_counter()
    numbers = measure(part, settings)
    configs = ("search", "practice", "regression")
    values = asdict(settings) | {name: getattr(settings, name).model_dump() for name in configs}
    seconds = time.perf_counter() - began
    typer.echo(json.dumps({"settings": values, "numbers": numbers, "seconds": seconds}, indent=2))


def settings_of(part: str, seed: int) -> Settings:
    """Of the measurements that are told."""
    if part == "levels":
        return Settings(training=Training(seed=seed), goals=100)
    return Settings(
        training=Training(seed=seed, steps=1500, length=20),
        goals=150,
        regression=Regression(steps=1500),
    )


def measure(part: str, settings: Settings) -> dict[str, object]:
    """Trains a world model, and measures the part with it."""
    generator, training = np.random.default_rng(settings.training.seed), settings.training
    if part == "habits":
        world = TwoRoomGoals(size=settings.picture)
        walks = lasting_walks(world, draw_free(generator, world.layout, training.walks), training)
        return habits(world, learn_world(settings.picture, walks, training), walks, settings)
    if part == "levels":
        world = ThreeRoomGoals(size=settings.picture)
        walks = held_walks(world, world.draw_anywhere(generator, training.walks), training)
        return levels(world, learn_world(settings.picture, walks, training), walks, settings)
    raise ValueError(f"part={part!r} is none; use habits or levels")


if __name__ == "__main__":
    typer.run(main)
