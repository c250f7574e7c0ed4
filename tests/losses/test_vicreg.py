"""Variance and covariance against closed forms."""

from functools import partial

import pytest
import torch

from tests.two_ranks import on_two_ranks
from worldmodel_train.losses.vicreg import VARIANCE_EPS, covariance_loss, variance_loss


def test_collapsed_latents_miss_the_whole_margin():
    constant = torch.ones(2, 5, 3)
    assert variance_loss(constant).item() == pytest.approx(1 - VARIANCE_EPS**0.5)
    assert covariance_loss(constant) == 0


def test_spread_beyond_the_margin_costs_nothing():
    latents = 10 * torch.randn(2, 64, 3, generator=torch.Generator().manual_seed(0))
    assert variance_loss(latents) == 0
    assert variance_loss(latents, margin=100.0) > 0


def test_the_variance_loss_is_what_each_channel_lacks_at_each_time():
    """Of two samples at +-s the variance is 2 s^2."""
    spreads = torch.tensor([[0.1, 0.5], [2.0, 0.3]])
    latents = torch.stack((spreads, -spreads), dim=1)
    lacking = (1 - (2 * spreads**2 + VARIANCE_EPS).sqrt()).clamp(min=0)
    torch.testing.assert_close(variance_loss(latents), lacking.mean())


def test_the_covariance_loss_is_the_mean_square_off_the_diagonal():
    latents = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    squares = []
    for at_once in latents:
        covariance = at_once.T.cov()
        squares.append(covariance[~torch.eye(4, dtype=torch.bool)].square().mean())
    torch.testing.assert_close(covariance_loss(latents), torch.stack(squares).mean())


def test_the_same_channel_twice_costs_its_variance_squared():
    channel = torch.tensor([1.0, -1.0, 1.0, -1.0])
    latents = torch.stack((channel, channel), dim=1)[None]
    torch.testing.assert_close(covariance_loss(latents), torch.tensor((4 / 3) ** 2))


def test_autocast_changes_nothing_and_gradients_at_collapse_are_finite():
    latents = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = variance_loss(latents), covariance_loss(latents)
    assert half == (variance_loss(latents), covariance_loss(latents))
    collapsed = torch.zeros(2, 8, 3, requires_grad=True)
    variance_loss(collapsed).backward()
    assert collapsed.grad.isfinite().all()


@pytest.mark.distributed
# Python 3.12 and later warn of forks beside threads
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_ranks_give_value_and_gradient_of_one_with_the_joined_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 6, generator=generator) / 6
    inputs = torch.randn(2, 12, 6, generator=generator)
    value, gradient = _value_and_gradient(weight, inputs)
    answers = on_two_ranks(partial(_half, weight, inputs), tmp_path)
    assert [answer[0] for answer in answers] == pytest.approx([value, value], rel=1e-5)
    mean = (torch.tensor(answers[0][1]) + torch.tensor(answers[1][1])) / 2
    torch.testing.assert_close(mean, torch.tensor(gradient))


def _half(weight, inputs, rank):
    return _value_and_gradient(weight, inputs[:, 6 * rank : 6 * rank + 6])


def _value_and_gradient(weight, inputs):
    weight = weight.clone().requires_grad_()
    latents = inputs @ weight
    loss = variance_loss(latents) + covariance_loss(latents)
    loss.backward()
    return loss.item(), weight.grad.tolist()
