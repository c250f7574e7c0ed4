import math

import pytest

from benchmarks.learning import active_collection as bench
from worldmodel_train.collection.ensemble import Fitting

FEW = bench.Settings(
    sizes=(2, 3), candidates=2, longest=6, steps=2, tested=20, fitting=Fitting(steps=2)
)


@pytest.fixture(scope="module")
def found():
    return bench.curves(FEW)


def test_each_way_says_what_it_kept_and_what_it_cost(found):
    costs = {
        name: [(one["kept"], one["simulated_steps"]) for one in curve]
        for name, curve in found.items()
    }
    assert costs == {
        "random": [(2, 12), (3, 18)],
        "chosen": [(2, 12), (3, 24)],
        "random, as many simulated": [(2, 12), (4, 24)],
    }


def test_all_begin_with_the_same_episodes_and_are_measured_alike(found):
    firsts = [curve[0] for curve in found.values()]
    assert firsts[0] == firsts[1] == firsts[2]
    stayed = {one["error"]["after_8"]["had_it_stayed"] for curve in found.values() for one in curve}
    assert len(stayed) == 1
    assert all(math.isfinite(value) for value in firsts[0]["error"]["after_1"].values())


def test_a_summary_has_mean_and_spread_over_seeds():
    seeds = [{"way": [{"kept": kept, "error": {"all": 2.0 * kept}}]} for kept in (1, 3)]
    assert bench.summary(seeds) == {"way": [{"kept": [2, 1], "error": {"all": [4, 2]}}]}
