"""What holds of every planner, on dynamics whose optimum is known."""

import pytest
import torch

from tests.planners.lqr import Lqr, energy, optimum
from worldmodel_train.planners import cem, gradient, icem, mppi, random_shooting
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.chunked import Chunked
from worldmodel_train.protocols import LatentDynamics, Planner

HORIZON = 6
STARTS = torch.tensor([[1.0, 0.0], [-0.5, 1.0], [0.3, -0.8]], dtype=torch.float64)
SEARCHES = {
    "cem": cem.Config(horizon=HORIZON, candidates=200, elites=20, iterations=12, momentum=0.1),
    "icem": icem.Config(horizon=HORIZON, candidates=200, elites=20, iterations=12),
    "mppi": mppi.Config(
        horizon=HORIZON, candidates=256, elites=32, iterations=12, least_spread=0.01
    ),
    "gradient": gradient.Config(horizon=HORIZON, restarts=4, iterations=60),
}
ALL = {**SEARCHES, "random shooting": random_shooting.Config(horizon=HORIZON, candidates=2000)}
KEEP_THE_BEST = ("cem", "icem", "gradient", "random shooting")


def _bounds(low, high):
    low, high = (torch.tensor([end], dtype=torch.float64) for end in (low, high))
    return Bounds(low=low, high=high)


def _plan(config, dynamics=None, *, bounds=None, seed=0, warm_start=None, weights=None):
    return config.build(bounds or _bounds(-6.0, 6.0)).plan(
        dynamics or Lqr(),
        STARTS,
        lambda latents, actions: (1.0 if weights is None else weights) * energy(latents, actions),
        warm_start=warm_start,
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.fixture(params=ALL, ids=str)
def config(request):
    return ALL[request.param]


def test_each_is_a_planner(config):
    assert isinstance(config.build(_bounds(-1.0, 1.0)), Planner)


@pytest.mark.parametrize("name", SEARCHES)
def test_plans_are_within_five_percent_of_the_optimum_that_riccati_gives(name):
    plan = _plan(SEARCHES[name])
    best = optimum(STARTS, HORIZON)
    assert (plan.energy >= best - 1e-9).all()
    assert (plan.energy <= 1.05 * best).all()


def test_the_energy_of_a_plan_is_that_of_its_actions(config):
    plan = _plan(config)
    actions = plan.actions[:, None]
    again = energy(Lqr().rollout(STARTS, actions), actions)[:, 0]
    torch.testing.assert_close(again, plan.energy)


def test_beliefs_do_not_see_each_other(config):
    """Only energies that are compared within a belief make this hold, MPPI's weights aside."""
    if isinstance(config, mppi.Config):
        config = config.model_copy(update={"inverse_temperature": 1e-9})
    scaled = _plan(config, weights=torch.tensor([[1.0], [1e3], [1e-3]], dtype=torch.float64))
    # Adam's epsilon of 1e-8 is all that a gradient's size changes
    torch.testing.assert_close(scaled.actions, _plan(config).actions, atol=1e-4, rtol=1e-4)


def test_the_same_seed_gives_the_same_plan(config):
    first, second = (_plan(config, seed=1).actions for _ in range(2))
    assert torch.equal(first, second)


def test_actions_stay_within_bounds_that_the_optimum_exceeds(config):
    actions = _plan(config, bounds=_bounds(-0.3, 0.2)).actions
    assert (actions >= -0.3).all()
    assert (actions <= 0.2).all()


class Wider(Lqr):
    """Is acted on by the first number of an action alone."""

    def step(self, belief, action):
        return super().step(belief, action[:, :1])


@pytest.mark.parametrize("beyond", [None, 0.7])
def test_a_number_whose_bounds_are_equal_stays_there_and_the_others_are_searched(config, beyond):
    low, high = (torch.tensor([end, 0.3], dtype=torch.float64) for end in (-6.0, 6.0))
    first = None
    if beyond is not None:
        first = torch.full((len(STARTS), HORIZON, 2), beyond, dtype=torch.float64)
    plan = config.build(Bounds(low=low, high=high)).plan(
        Wider(),
        STARTS,
        lambda latents, actions: energy(latents, actions[..., :1]),
        warm_start=first,
        generator=torch.Generator().manual_seed(0),
    )
    assert (plan.actions[..., 1] == 0.3).all()
    idle = energy(
        Lqr().rollout(STARTS, 0 * plan.actions[:, None, :, :1]), 0 * plan.actions[:, None]
    )
    assert (plan.energy < idle[:, 0]).all()


@pytest.mark.parametrize("name", KEEP_THE_BEST)
def test_a_plan_is_never_worse_than_its_warm_start(name):
    good = _plan(SEARCHES["cem"])
    poor = {"candidates": 4, "elites": 2, "iterations": 1, "restarts": 1}
    known = {key: value for key, value in poor.items() if key in type(ALL[name]).model_fields}
    config = ALL[name].model_copy(update=known)
    assert (_plan(config, warm_start=good.actions).energy <= good.energy + 1e-9).all()
    assert (_plan(config).energy > good.energy).all()


def test_a_model_is_called_once_a_step_for_all_candidates_of_all_beliefs():
    calls = {}
    for name, config in ALL.items():
        dynamics = Lqr()
        _plan(config, dynamics)
        calls[name] = len(dynamics.calls)
        assert all(rows % len(STARTS) == 0 for rows in dynamics.calls)
    # MPPI measures its mean at the end; gradients the plans they end with
    assert calls == {
        "cem": 12 * HORIZON,
        "icem": 12 * HORIZON,
        "mppi": 13 * HORIZON,
        "gradient": 61 * HORIZON,
        "random shooting": HORIZON,
    }


def test_icem_draws_ever_fewer_but_twice_its_elites():
    config = icem.Config(candidates=100, shrink=2.0, elites=10)
    assert [config.drawn_in(i) for i in range(5)] == [100, 50, 25, 20, 20]


def test_gradients_leave_no_trace_on_the_model():
    class Learnt(Lqr):
        gain = torch.ones((), dtype=torch.float64, requires_grad=True)

        def step(self, belief, action):
            return super().step(belief, self.gain * action)

    dynamics = Learnt()
    with torch.no_grad():
        _plan(SEARCHES["gradient"], dynamics)
    assert dynamics.gain.grad is None


@pytest.mark.parametrize("most", [1, 7, 256, 10_000])
def test_candidates_a_few_at_a_time_give_the_same_plan(most):
    dynamics = Lqr()
    chunked = Chunked(dynamics, most=most)
    assert isinstance(chunked, LatentDynamics)
    short = SEARCHES["cem"].model_copy(update={"candidates": 30, "elites": 5, "iterations": 2})
    torch.testing.assert_close(_plan(short, chunked).actions, _plan(short).actions)
    assert max(dynamics.calls) <= max(most, len(STARTS))


def test_no_plan_at_a_time_is_refused():
    with pytest.raises(ValueError, match="most=0 plans at once; use 1 or more"):
        Chunked(Lqr(), most=0)
