"""Variance and covariance against closed forms."""

import pytest
import torch

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
