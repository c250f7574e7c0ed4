from itertools import product

import pytest
import torch
from torch.nn.functional import one_hot

from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.categorical_cem import Config
from worldmodel_train.protocols import Planner

MOVES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
STARTS = torch.tensor([[0.0, 0.0], [2.0, -1.0], [-1.0, 1.0]])
GOAL = torch.tensor([1.0, 2.0])
HORIZON = 5
CHOICES = Bounds(low=torch.zeros(5), high=torch.ones(5))


class Walk:
    """A `LatentDynamics` of a walker on a plane."""

    def encode(self, observations, actions):
        raise NotImplementedError("beliefs are given")

    def latent(self, belief):
        return belief

    def intervene(self, belief, latent):
        return latent

    def step(self, belief, action):
        return belief + action @ MOVES

    def rollout(self, belief, actions):
        return belief[:, None, None] + (actions @ MOVES).cumsum(dim=2)


def _energy(latents, actions):
    # being near early counts, and a move costs
    return (latents - GOAL).abs().sum(dim=(-1, -2)) + 0.1 * (1 - actions[..., 0]).sum(dim=-1)


def _plan(config, *, seed=0, warm_start=None):
    return config.build(CHOICES).plan(
        Walk(),
        STARTS,
        _energy,
        warm_start=warm_start,
        generator=torch.Generator().manual_seed(seed),
    )


def _optimum():
    every = one_hot(torch.tensor(list(product(range(5), repeat=HORIZON))), 5).float()
    plans = every.expand(len(STARTS), *every.shape)
    return _energy(Walk().rollout(STARTS, plans), plans).min(dim=1).values


SEARCH = Config(horizon=HORIZON, candidates=200, elites=20, iterations=8)


def test_it_finds_the_best_of_all_plans():
    assert isinstance(SEARCH.build(CHOICES), Planner)
    torch.testing.assert_close(_plan(SEARCH).energy, _optimum())


def test_actions_are_one_of_several_and_have_the_energy_that_is_said():
    plan = _plan(SEARCH)
    assert torch.equal(plan.actions.sum(dim=-1), torch.ones(3, HORIZON))
    assert set(plan.actions.unique().tolist()) == {0.0, 1.0}
    actions = plan.actions[:, None]
    torch.testing.assert_close(_energy(Walk().rollout(STARTS, actions), actions)[:, 0], plan.energy)


def test_a_plan_is_never_worse_than_its_warm_start():
    good = _plan(SEARCH)
    poor = SEARCH.model_copy(update={"candidates": 2, "elites": 1, "iterations": 1})
    assert (_plan(poor, warm_start=good.actions).energy <= good.energy).all()
    assert (_plan(poor).energy > good.energy).any()


def test_the_same_seed_gives_the_same_plan():
    assert torch.equal(_plan(SEARCH, seed=3).actions, _plan(SEARCH, seed=3).actions)


def test_more_elites_than_candidates_are_refused():
    with pytest.raises(ValueError, match="elites=8 are not the best of candidates=8; use fewer"):
        Config(candidates=8, elites=8)
