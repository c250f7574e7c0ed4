import numpy as np
import torch

from tests.planners.line_world import LineWorld
from worldmodel_train.planners.replanning import Replanning
from worldmodel_train.protocols import Plan


class Noting:
    """A planner of one plan, which notes where its searches begin."""

    def __init__(self):
        self.warm_starts = []

    def plan(self, dynamics, belief, energy, *, warm_start=None, generator=None):
        self.warm_starts.append(warm_start)
        return Plan(actions=torch.tensor([[[1.0], [2.0], [3.0]]]), energy=torch.zeros(1))


def actions(search, count):
    found = search.actions(LineWorld(), torch.zeros(1, 1), lambda _l, _a: None, count=count)
    return found.flatten().tolist()


def test_the_first_actions_are_done_and_the_rest_begins_the_next_search():
    planner = Noting()
    search = Replanning(planner, seed=0)
    assert actions(search, 2) == [1, 2]
    assert actions(search, 1) == [1]
    assert planner.warm_starts[0] is None
    assert planner.warm_starts[1].flatten().tolist() == [3, 3, 3]


def test_what_is_forgotten_begins_no_search():
    planner = Noting()
    search = Replanning(planner, seed=0)
    actions(search, 1)
    search.forget()
    actions(search, 1)
    assert planner.warm_starts == [None, None]


def test_everybody_goes_on_from_ones_own_plan_however_many_are_left():
    planner = Numbered()
    search = Replanning(planner, seed=0)

    def go_on(*which):
        beliefs = torch.tensor(which, dtype=torch.float32)[:, None]
        everybody = {"count": 1, "which": np.array(which)}
        search.actions(LineWorld(), beliefs, lambda _l, _a: None, **everybody)
        begun = planner.warm_starts[-1]
        return None if begun is None else begun[:, 0, 0].tolist()

    assert go_on(0, 1, 2) is None
    assert go_on(0, 2) == [0, 2]
    assert go_on(2) == [2]


def test_one_who_is_new_has_all_begin_from_nothing():
    planner = Numbered()
    search = Replanning(planner, seed=0)
    for which in ([0], [0, 1]):
        beliefs = torch.tensor(which, dtype=torch.float32)[:, None]
        search.actions(LineWorld(), beliefs, lambda _l, _a: None, count=1, which=np.array(which))
    assert planner.warm_starts == [None, None]


class Numbered:
    """Plans everybody's own number, and notes what it is given."""

    def __init__(self):
        self.warm_starts = []

    def plan(self, dynamics, belief, energy, *, warm_start=None, generator=None):
        self.warm_starts.append(warm_start)
        return Plan(actions=belief[:, None].expand(-1, 3, -1), energy=belief[:, 0])
