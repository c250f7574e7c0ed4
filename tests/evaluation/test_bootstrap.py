import pytest
import torch

from worldmodel_train.evaluation.bootstrap import bootstrap_interval


def test_an_interval_is_that_of_a_binomial():
    values = torch.tensor([1.0] * 300 + [0.0] * 700)
    low, high = bootstrap_interval(values)
    spread = (0.3 * 0.7 / 1000) ** 0.5
    assert low == pytest.approx(0.3 - 1.96 * spread, abs=0.004)
    assert high == pytest.approx(0.3 + 1.96 * spread, abs=0.004)
