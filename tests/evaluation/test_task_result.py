"""Numbers and their spreads."""

import pytest

from worldmodel_train.evaluation.task_result import Measured, Number, contenders_tables, once


def test_one_value_has_no_spread_and_two_have_that_of_a_sample():
    assert Measured(values=(0.3,)).spread == 0
    assert Measured(values=(1.0, 3.0)).spread == pytest.approx(2**0.5)


def test_numbers_that_are_to_beat_the_same_share_a_table():
    numbers = [
        Number(name="a", trained=once(1), baselines={"untrained": once(2)}),
        Number(name="b", trained=once(3), baselines={"chance": once(4)}),
        Number(name="c", unit="percent", trained=once(5), baselines={"untrained": once(6)}),
    ]
    both, alone = contenders_tables("caption", numbers)
    assert [column.name for column in both.columns] == ["a", "c"]
    assert [row.name for row in both.rows] == ["Trained", "Untrained"]
    assert [[cell.mean for cell in row.cells] for row in both.rows] == [[1, 5], [2, 6]]
    assert [row.name for row in alone.rows] == ["Trained", "Chance"]
