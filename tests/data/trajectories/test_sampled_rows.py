"""Percentiles of rows that come in parts."""

import numpy as np
import pytest

from worldmodel_train.data.trajectories import sampled_rows
from worldmodel_train.data.trajectories.sampled_rows import SampledRows

ROWS = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)


def parts(count):
    """The rows in parts, each drawn for by its own generator, as shards are."""
    return [
        SampledRows.of(part, np.random.default_rng(number))
        for number, part in enumerate(np.array_split(ROWS, count))
    ]


@pytest.mark.parametrize("share", [1, 50, 99])
def test_of_few_rows_they_are_numpys(share):
    first, second, third = parts(3)
    joined = first.joined(second).joined(third)
    expected = np.percentile(ROWS.astype(np.float64), share, axis=0)
    np.testing.assert_allclose(joined.percentile(share), expected)


def test_of_many_rows_an_even_sample_is_kept_whatever_the_order(monkeypatch):
    monkeypatch.setattr(sampled_rows, "KEPT", 500)
    first, second, third = parts(3)
    one = first.joined(second).joined(third)
    other = third.joined(first.joined(second))
    assert one.rows.shape == (500, 2)
    assert sorted(one.rows.tolist()) == sorted(other.rows.tolist())
    for share in (1, 99):
        below = (one.percentile(share) > ROWS).mean(axis=0)
        assert below == pytest.approx(np.full(2, share / 100), abs=0.02)
    from_each = [np.isin(one.rows[:, 0], part[:, 0]).sum() for part in np.array_split(ROWS, 3)]
    assert min(from_each) > 130
