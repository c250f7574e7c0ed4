import pytest
import torch

from tests.planners.lqr import Lqr, energy, optimum
from worldmodel_train.planners import cem, random_shooting
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.protocols import Plan


def _bounds(low, high):
    return Bounds(
        low=torch.tensor([low], dtype=torch.float64), high=torch.tensor([high], dtype=torch.float64)
    )


BOUNDS = _bounds(-6.0, 6.0)
STARTS = torch.tensor([[1.0, 0.0], [-0.5, 1.0], [0.3, -0.8]], dtype=torch.float64)
SEARCH = cem.Config(horizon=6, candidates=200, elites=20, iterations=12, momentum=0.1)


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
    with pytest.raises(ValueError, match="no low may be above its high"):
        Bounds(low=torch.ones(1), high=-torch.ones(1))


def _plan(config):
    generator = torch.Generator().manual_seed(0)
    return config.build(BOUNDS).plan(Lqr(), STARTS, energy, generator=generator)
