import pytest
import torch

from tests.planners.lqr import Lqr, energy, optimum
from worldmodel_train.planners import cem, random_shooting
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.protocols import LatentDynamics, Plan, Planner


def _bounds(low, high):
    return Bounds(
        low=torch.tensor([low], dtype=torch.float64), high=torch.tensor([high], dtype=torch.float64)
    )


BOUNDS = _bounds(-6.0, 6.0)
STARTS = torch.tensor([[1.0, 0.0], [-0.5, 1.0], [0.3, -0.8]], dtype=torch.float64)
SEARCH = cem.Config(horizon=6, candidates=200, elites=20, iterations=12, momentum=0.1)


def test_what_plans_and_what_is_planned_with_are_as_declared():
    assert isinstance(SEARCH.build(BOUNDS), Planner)
    assert isinstance(random_shooting.Config().build(BOUNDS), Planner)
    assert isinstance(Lqr(), LatentDynamics)


def test_plans_are_within_five_percent_of_the_optimum_that_riccati_gives():
    plan = _plan(SEARCH)
    best = optimum(STARTS, SEARCH.horizon)
    assert (plan.energy >= best - 1e-9).all()
    assert (plan.energy <= 1.05 * best).all()


def test_the_energy_of_a_plan_is_that_of_its_actions():
    plan = _plan(SEARCH)
    actions = plan.actions[:, None]
    again = energy(Lqr().rollout(STARTS, actions), actions)[:, 0]
    torch.testing.assert_close(again, plan.energy)


def test_a_model_is_called_once_a_step_for_all_candidates_of_all_beliefs():
    dynamics = Lqr()
    _plan(SEARCH, dynamics)
    assert dynamics.calls == [3 * 200] * (6 * 12)


def test_beliefs_do_not_see_each_other():
    """Only energies that are compared within a belief make this hold."""
    scaled = _plan(SEARCH, weights=torch.tensor([[1.0], [1e6], [1e-6]], dtype=torch.float64))
    torch.testing.assert_close(scaled.actions, _plan(SEARCH).actions)


def test_the_same_seed_gives_the_same_plan_and_another_does_not():
    first, second = (_plan(SEARCH, seed=1).actions for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, _plan(SEARCH, seed=2).actions)


@pytest.mark.parametrize("planner", [SEARCH, random_shooting.Config(horizon=6)])
def test_actions_stay_within_bounds_that_the_optimum_exceeds(planner):
    actions = _plan(planner, bounds=_bounds(-0.3, 0.2)).actions
    assert (actions >= -0.3).all()
    assert (actions <= 0.2).all()


@pytest.mark.parametrize(
    "planner",
    [
        SEARCH.model_copy(update={"iterations": 1, "candidates": 4, "elites": 2}),
        random_shooting.Config(horizon=6, candidates=2),
    ],
)
def test_a_plan_is_never_worse_than_its_warm_start(planner):
    good = _plan(SEARCH)
    plan = _plan(planner, warm_start=good.actions)
    assert (plan.energy <= good.energy + 1e-9).all()
    assert (_plan(planner).energy > good.energy).all()


def test_planning_anew_each_step_from_the_rest_of_the_last_plan_stays_near_the_optimum():
    short = SEARCH.model_copy(update={"iterations": 4, "horizon": 8, "first_spread": 0.2})
    planner, generator = short.build(BOUNDS), torch.Generator().manual_seed(0)
    state, rest, paid = STARTS, None, torch.zeros(3, dtype=torch.float64)
    for _ in range(20):
        plan = planner.plan(Lqr(), state, energy, warm_start=rest, generator=generator)
        action = plan.actions[:, :1]
        state = Lqr().step(state, action[:, 0])
        paid += energy(state[:, None, None], action[:, None])[:, 0]
        rest = plan.rest(1)
    assert (paid <= 1.05 * optimum(STARTS, 20)).all()


def test_the_rest_of_a_plan_holds_its_last_action():
    plan = Plan(actions=torch.tensor([[[1.0], [2.0], [3.0]]]), energy=torch.zeros(1))
    assert plan.rest(2).flatten().tolist() == [3.0, 3.0, 3.0]


def test_cem_beats_random_shooting_with_as_many_candidates():
    shots = random_shooting.Config(horizon=6, candidates=200 * 12)
    assert (_plan(SEARCH).energy < _plan(shots).energy).all()


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match=r"elites=30 are not the best of candidates=30; use fewer"):
        cem.Config(candidates=30)
    with pytest.raises(ValueError, match="each low must be below its high"):
        Bounds(low=torch.ones(1), high=torch.ones(1))


def _plan(config, dynamics=None, *, bounds=BOUNDS, seed=0, warm_start=None, weights=1.0):
    return config.build(bounds).plan(
        dynamics or Lqr(),
        STARTS,
        lambda latents, actions: weights * energy(latents, actions),
        warm_start=warm_start,
        generator=torch.Generator().manual_seed(seed),
    )
