import numpy as np
import pytest
import torch

from tests.planners.line_world import LineWorld
from worldmodel_train.agents.cognitive import Actor, CognitiveAgent, Cost, Mode
from worldmodel_train.agents.goal_networks import Critic, ReactivePolicy
from worldmodel_train.agents.regression import Regression, regress
from worldmodel_train.agents.short_term_memory import Lessons
from worldmodel_train.planners import icem
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import nearness
from worldmodel_train.planners.replanning import Replanning

SEARCH = icem.Config(horizon=4, candidates=32, elites=6, iterations=3)


@pytest.fixture
def agent():
    """In worlds whose pictures are their latents."""
    torch.manual_seed(0)
    bounds = Bounds(low=-torch.ones(2), high=torch.ones(2))
    return CognitiveAgent(
        model=Plane(),
        cost=Cost(distance="l2", way=1.0, critic=Critic(latents=2)),
        actor=Actor(
            policy=ReactivePolicy(latents=2, actions=2),
            search=Replanning(SEARCH.build(bounds), seed=0),
        ),
    )


class Plane(LineWorld):
    """The line world along two axes, seen in pictures of one row of two numbers."""

    def encode(self, observations, actions):
        return observations[:, -1, 0, :, 0].float() / 10 - 5


class Noting:
    """Notes of each plan whether it began from another, and leaves the planning to the planner."""

    def __init__(self, search):
        self.planner, self.warm = search._planner, []
        search._planner = self

    def plan(self, *arguments, warm_start=None, **keywords):
        self.warm.append(warm_start is not None)
        return self.planner.plan(*arguments, warm_start=warm_start, **keywords)


def pictures(places):
    """As `Plane` sees them: a number of a pixel is ten times five more than that of a place."""
    numbers = (10 * (places + 5)).round().to(torch.uint8)
    return numbers[:, None, None, :, None].expand(-1, 1, 1, 2, 3)


def live(agent, places, goals, mode, *, looks, count=1):
    """Where worlds are at the end."""
    agent.pursue(pictures(goals), mode, actions=2)
    nothing_done = torch.empty(len(places), 0, 2)
    with torch.no_grad():
        for _ in range(looks):
            chosen = agent.act(pictures(places), nothing_done, count=count)
            places = places + chosen.sum(dim=1)
    return places


def pairs(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return (4 * torch.rand(count, 2, generator=generator) - 2 for _ in range(2))


def test_mode_2_reaches_goals_and_memory_says_that_the_cost_fell(agent):
    starts, goals = pairs(20, seed=1)
    ends = live(agent, starts, goals, Mode.PLAN, looks=4, count=2)
    assert (ends - goals).norm(dim=1).mean() < 0.4
    costs = torch.stack([moment.cost for moment in agent.memory.moments])
    assert costs.shape == (4, 20)
    assert costs[-1].mean() < 0.1 * costs[0].mean()
    assert agent.memory.moments[0].actions.shape == (20, 2, 2)


def test_mode_1_imitates_mode_2_after_learning_from_it(agent):
    """First where Mode-2 goes by itself, then where Mode-1 goes and Mode-2 gives advice."""
    lessons, generator = [], torch.Generator().manual_seed(0)
    for number, mode in enumerate((Mode.PLAN, Mode.LEARN)):
        starts, goals = pairs(60, seed=number)
        live(agent, starts, goals, mode, looks=5, count=2)
        lessons.append(agent.memory.lessons_of_advice())
        known = Lessons.joined(lessons)
        regress(
            agent.actor.policy,
            (known.latents, known.goals),
            known.targets,
            Regression(steps=120, batch=64, rate=5e-3),
            generator,
        )
    starts, goals = pairs(50, seed=7)
    calls = len(agent.world_model.calls)
    ends = live(agent, starts, goals, Mode.REACT, looks=8)
    assert len(agent.world_model.calls) == calls
    reacted, planned = (
        ((each - goals).norm(dim=1) < 0.5).float().mean()
        for each in (ends, live(agent, starts, goals, Mode.PLAN, looks=8))
    )
    assert planned > 0.9
    assert reacted >= 0.9 * planned


def test_a_mode_that_does_not_plan_takes_no_advice(agent):
    starts, goals = pairs(3, seed=0)
    live(agent, starts, goals, Mode.REACT, looks=2, count=2)
    assert [moment.advice for moment in agent.memory.moments] == [None, None]
    assert agent.memory.moments[0].actions.shape == (3, 1, 2)


def test_advice_names_the_latents_in_which_its_actions_are_done(agent):
    starts, goals = pairs(3, seed=0)
    live(agent, starts, goals, Mode.LEARN, looks=1, count=3)
    advice = agent.memory.moments[0].advice
    reached = advice.latents[:, :-1] + advice.actions[:, :-1]
    torch.testing.assert_close(reached, advice.latents[:, 1:])
    torch.testing.assert_close(advice.latents[:, 0], agent.memory.moments[0].latent)


@pytest.mark.parametrize("mode", [Mode.PLAN, Mode.REACT])
def test_some_worlds_pursue_their_own_goals(agent, mode):
    starts, goals = pairs(4, seed=0)
    agent.pursue(pictures(goals), mode, actions=2)
    which = np.array([3, 1])
    with torch.no_grad():
        chosen = agent.act(pictures(starts[which]), torch.empty(2, 0, 2), count=2, which=which)
    (seen,) = agent.memory.moments
    assert len(chosen) == 2
    torch.testing.assert_close(seen.goal, goals[which], atol=0.06, rtol=0)
    torch.testing.assert_close(seen.cost, (seen.latent - seen.goal).square().mean(dim=1))


@pytest.mark.parametrize(("mode", "warm"), [(Mode.PLAN, [False, True]), (Mode.LEARN, [False] * 2)])
def test_advice_that_was_not_taken_begins_no_other_search(agent, mode, warm):
    planner = Noting(agent.actor.search)
    starts, goals = pairs(3, seed=0)
    live(agent, starts, goals, mode, looks=2, count=2)
    assert planner.warm == warm


def test_a_new_goal_begins_a_new_episode(agent):
    starts, goals = pairs(3, seed=0)
    first = live(agent, starts, goals, Mode.PLAN, looks=2)
    live(agent, first, starts, Mode.PLAN, looks=1)
    assert len(agent.memory.moments) == 1
    torch.testing.assert_close(agent.memory.moments[0].goal, starts, atol=0.06, rtol=0)


@pytest.mark.parametrize("counted", ["end", "nearest"])
def test_plans_count_as_the_cost_says(counted):
    generator = torch.Generator().manual_seed(0)
    latents, actions = torch.randn(2, 3, 4, 2, generator=generator), torch.zeros(2, 3, 4, 2)
    goal = torch.zeros(2, 2)
    cost = Cost(distance="l2", way=0.5, critic=Critic(latents=2), counted=counted)
    expected = nearness(goal, "l2", counted=counted, way=0.5)(latents, actions)
    torch.testing.assert_close(cost.energy(goal)(latents, actions), expected)


def test_what_the_critic_fears_at_a_plan_s_end_costs_as_much_as_its_weight_says():
    critic = Critic(latents=2)
    plain, asking = (
        Cost(distance="l2", way=0.5, critic=critic, critic_weight=weight) for weight in (0.0, 2.0)
    )
    generator = torch.Generator().manual_seed(0)
    latents, actions = torch.randn(2, 3, 4, 2, generator=generator), torch.zeros(2, 3, 4, 2)
    goal = torch.zeros(2, 2)
    with torch.no_grad():
        difference = asking.energy(goal)(latents, actions) - plain.energy(goal)(latents, actions)
        torch.testing.assert_close(difference, 2 * critic(latents[:, :, -1], torch.zeros(2, 3, 2)))
    torch.testing.assert_close(
        plain.intrinsic(latents[:, 0, 0], goal), latents[:, 0, 0].square().mean(dim=1)
    )


def test_an_agent_without_a_goal_is_a_mistake_of_ours(agent):
    with pytest.raises(AssertionError, match="call pursue"):
        agent.act(pictures(torch.zeros(1, 2)), torch.empty(1, 0, 2), count=1)
