import torch

from tests.planners.line_world import LineWorld
from worldmodel_train.planners import icem
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import nearness
from worldmodel_train.planners.hierarchical import Hierarchical
from worldmodel_train.protocols import Planner

STARTS, GOALS = torch.tensor([[0.0], [2.0], [-1.0]]), torch.tensor([[9.0], [-7.0], [0.5]])
ENERGY = nearness(GOALS, "l2", way=0.3)
COARSE = icem.Config(horizon=4, candidates=64, elites=6, iterations=4)
FINE = icem.Config(horizon=3, candidates=48, elites=6, iterations=5)


def planner(coarse, **options):
    bounds = Bounds(low=-torch.ones(1), high=torch.ones(1))
    return Hierarchical(
        coarse=coarse,
        coarse_planner=COARSE.build(bounds),
        fine_planner=FINE.build(bounds),
        distance="l2",
        **options,
    )


def plan(search, fine, starts=STARTS, seed=0):
    return search.plan(fine, starts, ENERGY, generator=torch.Generator().manual_seed(seed))


def first_subgoal(search, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = search.coarse_planner.plan(search.coarse, STARTS, ENERGY, generator=generator)
    return search.coarse.rollout(STARTS, coarse.actions[:, None])[:, 0, 0]


def test_it_is_a_planner_and_the_same_seed_gives_the_same_plan():
    search = planner(LineWorld(held=3))
    assert isinstance(search, Planner)
    assert torch.equal(plan(search, LineWorld()).actions, plan(search, LineWorld()).actions)


def test_the_fine_plan_ends_at_the_first_subgoal_which_is_nearer_than_the_goal():
    fine, search = LineWorld(), planner(LineWorld(held=3))
    found = plan(search, fine)
    first = first_subgoal(search)
    ends = fine.rollout(STARTS, found.actions[:, None])[:, 0, -1]
    torch.testing.assert_close(ends, first, atol=0.15, rtol=0)
    torch.testing.assert_close(found.energy, (ends - first).square()[:, 0])


def test_subgoals_are_reached_one_after_the_other_until_the_goal_is():
    search, fine, now = planner(LineWorld(held=3)), LineWorld(), STARTS
    for _ in range(5):
        now = fine.rollout(now, plan(search, fine, now).actions[:, None])[:, 0, -1]
    torch.testing.assert_close(now, GOALS, atol=0.3, rtol=0)


def test_the_pull_brings_fine_plans_nearer_to_the_goal_than_the_subgoal_is():
    far, alone = (planner(LineWorld(held=1.5), pull=pull) for pull in (1.0, 0.0))
    left = [
        (LineWorld().rollout(STARTS, plan(each, LineWorld()).actions[:, None])[:, 0, -1] - GOALS)
        for each in (far, alone)
    ]
    assert (left[0][:2].abs() < left[1][:2].abs() - 0.3).all()


def test_each_model_is_called_as_often_as_its_own_search_says():
    coarse, fine = LineWorld(held=3), LineWorld()
    plan(planner(coarse), fine)
    # once more, for the first subgoal
    assert len(coarse.calls) == 4 * 4 + 1
    assert len(fine.calls) == 5 * 3
    assert all(rows % len(STARTS) == 0 for rows in (*coarse.calls, *fine.calls))
