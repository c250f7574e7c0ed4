"""InfoNCE and NT-Xent against sums written out, and over two ranks."""

from functools import partial
from math import log

import pytest
import torch
from torch.nn.functional import normalize

from tests.two_ranks import on_two_ranks
from worldmodel_train.losses.info_nce import info_nce, nt_xent


def views(count=5, width=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, count, width, generator=generator)


def test_views_that_are_all_alike_are_found_by_chance():
    alike = torch.ones(8, 4)
    assert info_nce(alike, alike, temperature=0.2).item() == pytest.approx(log(8), rel=1e-5)
    assert nt_xent(alike, alike, temperature=0.2).item() == pytest.approx(log(15), rel=1e-5)


def test_views_that_point_their_own_ways_cost_nothing():
    own = torch.eye(6)
    assert info_nce(own, own, temperature=0.01) < 1e-6
    assert nt_xent(own, own, temperature=0.01) < 1e-6


def test_info_nce_is_the_cross_entropy_over_keys():
    queries, keys = views()
    total = 0.0
    for i, query in enumerate(normalize(queries, dim=1)):
        weights = [float((query @ key / 0.5).exp()) for key in normalize(keys, dim=1)]
        total -= log(weights[i] / sum(weights))
    assert info_nce(queries, keys, temperature=0.5).item() == pytest.approx(total / 5, rel=1e-5)


def test_nt_xent_is_equation_1_of_the_paper():
    one, other = views()
    both = normalize(torch.cat((one, other)), dim=1)
    total = 0.0
    for i in range(10):
        partner = (i + 5) % 10
        weights = {k: float((both[i] @ both[k] / 0.5).exp()) for k in range(10) if k != i}
        total -= log(weights[partner] / sum(weights.values()))
    assert nt_xent(one, other, temperature=0.5).item() == pytest.approx(total / 10, rel=1e-5)


def test_under_autocast_it_is_computed_in_fp32():
    one, other = views()
    full = nt_xent(one, other, temperature=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nt_xent(one, other, temperature=0.1), full)


@pytest.mark.distributed
@pytest.mark.parametrize("loss", [info_nce, nt_xent], ids=lambda loss: loss.__name__)
# Python 3.12 and later warn of forks beside threads
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_ranks_give_value_and_gradient_of_one_with_the_joined_batch(loss, tmp_path):
    inputs, weight = views(count=8), torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    value, gradient = _value_and_gradient(loss, weight, inputs)
    answers = on_two_ranks(partial(_half, loss, weight, inputs), tmp_path)
    assert sum(answer[0] for answer in answers) / 2 == pytest.approx(value, rel=1e-5)
    mean = (torch.tensor(answers[0][1]) + torch.tensor(answers[1][1])) / 2
    torch.testing.assert_close(mean, torch.tensor(gradient))


def _half(loss, weight, inputs, rank):
    return _value_and_gradient(loss, weight, inputs[:, 4 * rank : 4 * rank + 4])


def _value_and_gradient(loss, weight, inputs):
    weight = weight.clone().requires_grad_()
    one, other = inputs @ weight
    total = loss(one, other, temperature=0.3)
    total.backward()
    return total.item(), weight.grad.tolist()
