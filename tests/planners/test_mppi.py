"""MPPI against the optimum that Riccati gives, and against what it was given to begin with."""

import pytest
import torch
from pydantic import ValidationError

from tests.planners.lqr import Lqr, energy, optimum
from worldmodel_train.planners import mppi
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.protocols import Planner

HIGH = torch.tensor([6.0], dtype=torch.float64)
BOUNDS = Bounds(low=-HIGH, high=HIGH)
STARTS = torch.tensor([[1.0, 0.0], [-0.5, 1.0], [0.3, -0.8]], dtype=torch.float64)
SEARCH = mppi.Config(
    horizon=6, candidates=256, elites=32, iterations=12, inverse_temperature=3.0, first_spread=0.7,
    least_spread=0.01,
)  # fmt: skip


def generator():
    return torch.Generator().manual_seed(0)


def test_it_is_a_planner():
    assert isinstance(SEARCH.build(BOUNDS), Planner)


def test_plans_are_within_a_thousandth_of_the_optimum_that_riccati_gives():
    plan = SEARCH.build(BOUNDS).plan(Lqr(), STARTS, energy, generator=generator())
    best = optimum(STARTS, SEARCH.horizon)
    assert (plan.energy >= best - 1e-9).all()
    assert (plan.energy <= 1.001 * best).all()
    again = energy(Lqr().rollout(STARTS, plan.actions[:, None]), plan.actions[:, None])[:, 0]
    torch.testing.assert_close(plan.energy, again)


def test_elites_count_by_how_good_they_are():
    once = SEARCH.model_copy(update={"iterations": 1, "candidates": 8, "elites": 3})
    found = once.build(BOUNDS).search(Lqr(), STARTS, energy, generator=generator())
    energies = energy(Lqr().rollout(STARTS, found.elites), found.elites)
    expected = (-3.0 * energies).softmax(dim=1)
    torch.testing.assert_close(found.weights, expected)
    mean = torch.einsum("be,beha->bha", expected, found.elites)
    torch.testing.assert_close(found.mean, mean)
    variance = torch.einsum("be,beha->bha", expected, (found.elites - mean[:, None]) ** 2)
    torch.testing.assert_close(found.spread, variance.sqrt().clamp(0.06, 0.7 * 6))


def test_a_good_proposal_is_among_the_elites():
    best = SEARCH.build(BOUNDS).plan(Lqr(), STARTS, energy, generator=generator()).actions
    once = SEARCH.model_copy(update={"iterations": 1, "first_spread": 2.0, "elites": 4})
    found = once.build(BOUNDS).search(
        Lqr(), STARTS, energy, proposals=best[:, None], generator=generator()
    )
    assert torch.equal(found.elites[:, 0], best)


def test_a_warm_start_is_where_candidates_are_drawn():
    low = mppi.Config(horizon=2, candidates=64, elites=63, iterations=1, first_spread=0.05)
    start = torch.full((1, 2, 1), 3.0, dtype=torch.float64)
    found = low.build(BOUNDS).search(
        Lqr(), STARTS[:1], energy, warm_start=start, generator=generator()
    )
    assert (found.elites - 3.0).abs().max() < 6 * 0.05 * 6
    assert found.elites.mean() == pytest.approx(3.0, abs=0.2)


def test_more_elites_than_candidates_are_refused():
    with pytest.raises(ValidationError, match=r"elites=64 are not the best of candidates=32"):
        mppi.Config(candidates=32)
