from math import isnan

import pytest
import torch
from einops import rearrange

from worldmodel_train.cartography.explained_variance import VarianceSums
from worldmodel_train.evaluation.bootstrap import (
    bootstrap_interval,
    interval_over_draws,
    spread_of_explained_variance,
    spread_of_mean,
)


def test_an_interval_is_that_of_a_binomial():
    values = torch.tensor([1.0] * 300 + [0.0] * 700)
    low, high = bootstrap_interval(values)
    spread = (0.3 * 0.7 / 1000) ** 0.5
    assert low == pytest.approx(0.3 - 1.96 * spread, abs=0.004)
    assert high == pytest.approx(0.3 + 1.96 * spread, abs=0.004)


def test_a_spread_is_over_videos_not_clips():
    values = rearrange(torch.tensor([[0.0, 1.0]]).expand(8, -1), "clips videos -> (videos clips)")
    alike = spread_of_mean(values, ["a"] * 8 + ["b"] * 8)
    assert alike == pytest.approx(0.5 / 2**0.5, abs=0.03)  # two videos are drawn
    assert spread_of_mean(values, [str(clip) for clip in range(16)]) < 0.5 * alike
    assert isnan(spread_of_mean(values, ["a"] * 16))


def test_spread_and_interval_of_a_mean_are_of_the_same_draws():
    values = torch.rand(12, generator=torch.Generator().manual_seed(0)).double()
    means = []
    interval_over_draws(lambda drawn: means.append(values[drawn].mean()) or means[-1], len(values))
    names = [f"{clip:02}" for clip in range(len(values))]
    assert spread_of_mean(values, names) == pytest.approx(float(torch.stack(means).std()))


def test_the_spread_of_what_is_explained_is_zero_where_videos_are_equal():
    torch.manual_seed(0)
    target = torch.randn(1, 1, 50, 3)
    good, bad = (VarianceSums.between(target + error, target) for error in (0.1, 0.9))
    assert spread_of_explained_variance([good] * 3) == pytest.approx(0.0, abs=1e-9)
    worst, best = bad.explained_variance, good.explained_variance
    assert 0 < spread_of_explained_variance([good, bad]) < best - worst
    assert spread_of_explained_variance([good, bad]) == spread_of_explained_variance([good, bad])
