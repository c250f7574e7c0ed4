from dataclasses import replace

import numpy as np
import pytest

from worldmodel_train.evaluation.planning.closed_loop import Attempts
from worldmodel_train.evaluation.planning.planning_result import (
    Trial,
    planning_result,
    share_between,
)


def attempts(arrival):
    return Attempts(
        states=np.zeros((3, len(arrival), 2)), arrival=np.array(arrival), seconds_per_action=0.002
    )


@pytest.fixture
def trial():
    return Trial(
        world="envs/two_rooms",
        planner="cem",
        budget=40,
        attempts={
            "trained": attempts([3, 5, -1, -1]),
            "untrained": attempts([-1] * 4),
            "random actions": attempts([-1] * 4),
        },
        kinds={"through the door": np.array([True, False, False, True])},
    )


def test_shares_are_of_all_goals_and_of_each_kind(trial):
    result = planning_result(trial)
    found = {number.name: number for number in result.numbers}
    assert found["goals reached, all"].trained.mean == 0.5
    assert found["goals reached, through the door"].trained.mean == 0.5
    assert found["goals reached, all"].baselines["random actions"].mean == 0.0
    assert result.measured_on == "4 goals in envs/two_rooms, 40 actions at most"


def test_the_table_says_how_long_it_took_and_how_sure_it_is(trial):
    (table,) = planning_result(trial).sections[0].tables
    trained, _, random = ([cell.mean for cell in row.cells] for row in table.rows)
    assert trained[0] == 0.5
    assert trained[1] < 0.5 < trained[2]
    assert trained[4:] == [4.0, 2.0]
    assert np.isnan(random[4])


def test_it_plans_only_where_luck_and_what_is_untrained_are_left_behind(trial):
    (verdict,) = planning_result(trial).verdicts
    assert not verdict.good
    many = {
        "trained": attempts([3] * 40),
        "untrained": attempts([-1] * 40),
        "random actions": attempts([3] * 4 + [-1] * 36),
    }
    (verdict,) = planning_result(replace(trial, attempts=many, kinds={})).verdicts
    assert verdict.good
    assert verdict.text == (
        "It reaches 100% of 40 goals (91% to 100%); untrained 0%, random actions 10%. Nobody "
        "reaches more."
    )
    many["expert"], many["trained"] = many["trained"], attempts([3] * 20 + [-1] * 20)
    (verdict,) = planning_result(replace(trial, attempts=many, kinds={})).verdicts
    assert verdict.good
    assert verdict.text.endswith("More are reached by: expert.")


def test_worlds_that_are_otherwise_are_rows_of_their_own_below_the_one_it_learned_in(trial):
    varied = {"wider door": {"trained": attempts([3, -1, -1, -1])}}
    _, table = planning_result(replace(trial, varied=varied)).sections[0].tables
    assert [(row.name, row.cells[0].mean) for row in table.rows] == [
        ("Nothing", 0.5),
        ("Wider door", 0.25),
    ]


def test_an_interval_is_wilsons():
    # 8 of 10: centre (8 + z^2/2) / (10 + z^2), z = 1.95996
    z2 = 1.959964**2
    centre, half = (8 + z2 / 2) / (10 + z2), np.sqrt(z2 * (8 * 2 / 10 + z2 / 4)) / (10 + z2)
    found = share_between(np.array([True] * 8 + [False] * 2))
    np.testing.assert_allclose(found, (centre - half, centre + half), atol=1e-6)
    assert share_between(np.array([], bool)) == (0.0, 1.0)
