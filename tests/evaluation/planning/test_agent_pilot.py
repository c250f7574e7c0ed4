import numpy as np
import pytest
import torch

from tests.evaluation.planning.seeing import Seeing
from worldmodel_train.agents.cognitive import Actor, CognitiveAgent, Cost, Mode
from worldmodel_train.agents.goal_networks import Critic, ReactivePolicy
from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.evaluation.planning.agent_pilot import AgentPilot
from worldmodel_train.evaluation.planning.closed_loop import Goals, Pilot, attempt
from worldmodel_train.planners import cem
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.replanning import Replanning

WORLD = TwoRoomGoals(size=20)
GOALS = Goals(
    starts=np.array([[0.2, 0.2], [0.3, 0.8], [0.8, 0.4]]),
    goals=np.array([[0.35, 0.4], [0.2, 0.5], [0.9, 0.7]]),
)
SEARCH = cem.Config(horizon=4, candidates=48, elites=6, iterations=3)


@pytest.fixture
def pilot():
    torch.manual_seed(0)
    search = SEARCH.build(Bounds(low=-torch.ones(2), high=torch.ones(2)))
    agent = CognitiveAgent(
        model=Seeing(WORLD),
        cost=Cost(distance="l2", way=0.0, critic=Critic(latents=2)),
        actor=Actor(
            policy=ReactivePolicy(latents=2, actions=2),
            search=Replanning(search, seed=0),
        ),
    )
    return AgentPilot(agent=agent, world=WORLD)


def test_in_mode_2_an_agent_reaches_all_goals_from_pictures(pilot):
    assert isinstance(pilot, Pilot)
    pilot.pursue(GOALS.goals, Mode.PLAN)
    assert attempt(WORLD, GOALS, pilot, budget=20, replan_every=2).reached.all()


def test_worlds_that_have_arrived_are_not_thought_about(pilot):
    pilot.pursue(GOALS.goals, Mode.PLAN)
    attempts = attempt(WORLD, GOALS, pilot, budget=20, replan_every=2)
    assert len(set(attempts.arrival.tolist())) > 1
    under_way = [(attempts.arrival > 2 * look).sum() for look in range(len(attempts.states) // 2)]
    assert [len(each.goal) for each in pilot.agent.memory.moments] == under_way


@pytest.mark.parametrize(("mode", "looks"), [(Mode.PLAN, 2), (Mode.REACT, 4), (Mode.LEARN, 4)])
def test_in_mode_1_it_looks_after_each_action(pilot, mode, looks):
    pilot.pursue(GOALS.goals, mode)
    attempts = attempt(WORLD, GOALS, pilot, budget=4, replan_every=2)
    assert len(attempts.states) == 5
    assert len(pilot.agent.memory.moments) == looks
