"""Which features are kept, and what thresholds learn, beside closed forms."""

from math import exp, pi, sqrt

import pytest
import torch

from tests.two_ranks import on_two_ranks
from worldmodel_train.cartography.activations import BatchTopK, JumpRelu, TopK, top

BEFORE = torch.tensor([[3.0, -1.0, 2.0, 0.5], [1.0, 4.0, -2.0, 6.0], [0.2, -3.0, 0.1, -0.5]])


def built(config, active=2, features=4, width=1):
    return config.build(active=active, features=features, width=width)


def normal():
    """Values that are distributed normally, without noise."""
    return torch.special.ndtri((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)[
        :, None
    ]


def density(value):
    return exp(-(value**2) / 2) / sqrt(2 * pi)


def jump_at(threshold, *, bandwidth, active=1):
    """Of one feature, in float64."""
    jump = built(JumpRelu(bandwidth=bandwidth), active=active, features=1).double()
    jump.log_threshold.data.fill_(threshold).log_()
    return jump


def test_topk_keeps_the_largest_of_each_token_above_zero():
    assert built(TopK())(BEFORE[:2]).tolist() == [[3.0, 0.0, 2.0, 0.0], [0.0, 4.0, 0.0, 6.0]]
    assert top(torch.tensor([[-3.0, -1.0, 2.0]]), 2).tolist() == [[0.0, 0.0, 2.0]]


def test_batch_topk_keeps_the_largest_of_all_tokens_together():
    assert built(BatchTopK(), active=1).of_batch(BEFORE).tolist() == [
        [3.0, 0.0, 0.0, 0.0],
        [0.0, 4.0, 0.0, 6.0],
        [0.0, 0.0, 0.0, 0.0],
    ]


@pytest.mark.parametrize("values", [torch.rand(50, 20) + 0.1, torch.ones(50, 20)])
def test_batch_topk_keeps_exactly_so_many_a_token_on_average_even_where_all_are_equal(values):
    assert (built(BatchTopK(), active=3, features=20).of_batch(values) > 0).sum() == 3 * 50


def test_batch_topk_gives_gradient_to_what_it_keeps_alone():
    before = BEFORE.clone().requires_grad_()
    built(BatchTopK()).of_batch(before).sum().backward()
    kept = [[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    assert before.grad.tolist() == kept


def test_the_threshold_is_the_mean_of_the_least_that_batches_kept_the_last_ones_most():
    activation = built(BatchTopK(memory=0.5), active=1, features=2)
    found = []
    for least in (1.0, 3.0, 6.0):
        activation.of_batch(torch.tensor([[least, 0.1], [9.0, 0.2]]))
        found.append(activation.threshold.item())
    assert found == [1.0, 2.0, 4.0]
    activation.of_batch(torch.tensor([[-1.0, -2.0], [0.0, -3.0]]))
    assert activation.threshold == 4, "a batch that keeps nothing says nothing of it"


def test_after_training_no_token_of_batch_topk_hears_of_others():
    activation = built(BatchTopK(), active=4, features=64)
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        activation.of_batch(torch.randn(200, 64, generator=draw))
    before = torch.randn(500, 64, generator=draw)
    kept = activation(before)
    assert (kept > 0).sum() / len(before) == pytest.approx(4, abs=0.15)
    assert torch.equal(kept, before * (before > activation.threshold))
    torch.testing.assert_close(activation(before[:1]), kept[:1])
    assert activation.batches == 20, "asking teaches it nothing"


def test_jumprelu_keeps_what_is_above_its_threshold_as_it_is():
    jump = built(JumpRelu())
    jump.log_threshold.data.copy_(torch.tensor([0.5, 4.5, 0.05, 1.0]).log())
    expected = [[3.0, 0, 2.0, 0], [1.0, 0, 0, 6.0], [0, 0, 0.1, 0]]
    torch.testing.assert_close(jump(BEFORE), torch.tensor(expected))


def test_jumprelu_has_the_pseudo_derivatives_of_the_paper():
    # arXiv 2407.14435: d/dz = H(z - theta), d/dtheta = -theta / eps K((z - theta) / eps)
    values, threshold, eps = [0.2, 0.45, 0.52, 0.9, -0.5], 0.5, 0.2
    gradients = torch.tensor([[2.0], [3.0], [5.0], [7.0], [11.0]], dtype=torch.float64)
    jump = jump_at(threshold, bandwidth=eps)
    before = torch.tensor(values, dtype=torch.float64)[:, None].requires_grad_()
    jump(before).backward(gradients)
    assert before.grad.flatten().tolist() == [0, 0, 5, 7, 0]
    by_threshold = -(threshold / eps) * (3 + 5)  # 0.45 and 0.52 lie in the window
    assert jump.log_threshold.grad.item() == pytest.approx(threshold * by_threshold)


def test_the_penalty_is_of_the_mean_number_and_only_thresholds_heed_it():
    # d/dtheta of the number is -1 / eps K((z - theta) / eps)
    threshold, eps, active = 0.5, 0.2, 2
    jump = jump_at(threshold, bandwidth=eps, active=active)
    before = torch.tensor([[0.2], [0.45], [0.52], [0.9]], dtype=torch.float64).requires_grad_()
    penalty = jump.penalty(before)
    assert penalty.item() == pytest.approx((0.5 / active - 1) ** 2)
    penalty.backward()
    by_number = 2 * (0.5 / active - 1) / active
    by_threshold = by_number * (-1 / eps) * 2 / 4
    assert jump.log_threshold.grad.item() == pytest.approx(threshold * by_threshold)
    assert before.grad is None


def test_thresholds_get_the_slope_of_the_expected_number():
    # of standard normal values 1 - Phi(theta) are above theta: the slope is -phi(theta)
    jump = jump_at(0.7, bandwidth=0.01)
    before = normal()
    jump.penalty(before).backward()
    slope = jump.log_threshold.grad.item() / 0.7
    number = float((before > 0.7).double().mean())
    assert slope == pytest.approx(2 * (number - 1) * -density(0.7), rel=0.01)


def test_thresholds_get_the_slope_of_the_expected_error():
    # E (z H(z - theta) - z)^2 is the integral of z^2 phi up to theta: the slope is theta^2 phi
    jump = jump_at(0.7, bandwidth=0.01)
    before = normal()
    (jump(before) - before).square().mean().backward()
    slope = jump.log_threshold.grad.item() / 0.7
    assert slope == pytest.approx(0.7**2 * density(0.7), rel=0.01)


def test_thresholds_begin_where_the_first_batch_has_as_many_features_as_asked_for():
    jump = built(JumpRelu(), active=4, features=64)
    before = torch.randn(500, 64, generator=torch.Generator().manual_seed(0))
    jump.begin(before)
    assert (jump(before) > 0).sum() / len(before) == pytest.approx(4, abs=0.01)


def test_the_window_is_as_wide_as_published_for_latents_of_length_one():
    assert built(JumpRelu(bandwidth=1e-3), width=64).bandwidth == pytest.approx(8e-3)


@pytest.mark.distributed
# Python 3.12 and later warn of forks beside threads
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_ranks_have_one_threshold(tmp_path):
    (batch_topk, jump), other = on_two_ranks(_thresholds, tmp_path)
    assert batch_topk == pytest.approx(1.5), "the mean of what each has kept at least"
    assert jump == pytest.approx(1.0), "the first rank's"
    assert other == pytest.approx((batch_topk, jump))


def _thresholds(rank):
    before = torch.tensor([[1.0, 0.1], [9.0, 0.2]]) * (1 + rank)
    batch_topk, jump = (built(c, active=1, features=2) for c in (BatchTopK(), JumpRelu()))
    batch_topk.of_batch(before)
    jump.begin(before)
    return batch_topk.threshold.item(), jump.log_threshold.exp()[0].item()
