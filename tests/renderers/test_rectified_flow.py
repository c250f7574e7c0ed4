"""The path, its velocity and Euler's way back, where all of them are known."""

import math

import pytest
import torch

from worldmodel_train.renderers.rectified_flow import (
    SMALLEST_LEVEL,
    LogitNormal,
    from_noise,
    noised,
    velocity,
    velocity_loss,
)

MEAN, STD = 0.3, 0.5


@pytest.fixture
def noise():
    return torch.randn(64, 3, 2, generator=torch.Generator().manual_seed(0)).double()


def of_a_gaussian(point, level):
    """The best estimate of samples of N(MEAN, STD^2): it is linear."""
    s = level.view(-1, 1, 1)
    variance = ((1 - s) * STD) ** 2 + s**2
    return MEAN + (1 - s) * STD**2 / variance * (point - (1 - s) * MEAN)


def test_paths_lead_from_the_clip_to_the_noise_at_their_velocity(noise):
    clean = torch.zeros_like(noise) + MEAN
    level = torch.linspace(SMALLEST_LEVEL, 1, len(noise)).double()
    assert torch.equal(noised(clean, noise, torch.zeros(64).double()), clean)
    assert torch.equal(noised(clean, noise, torch.ones(64).double()), noise)
    point = noised(clean, noise, level)
    torch.testing.assert_close(velocity(point, clean, level), noise - clean)


def test_the_loss_is_that_of_the_velocity(noise):
    clean, level = noise * STD + MEAN, torch.full((64,), 0.4).double()
    other = torch.randn(noise.shape, generator=torch.Generator().manual_seed(1)).double()
    point = noised(clean, other, level)
    estimate = of_a_gaussian(point, level)
    expected = (velocity(point, estimate, level) - (other - clean)).square().mean()
    torch.testing.assert_close(
        velocity_loss(estimate, clean, level).double(), expected, rtol=1e-5, atol=0
    )


def test_euler_meets_the_closed_form_of_a_gaussian(noise):
    expected = MEAN + STD * noise  # x_s = (1 - s) MEAN + std(s) noise solves the equation
    errors = [
        (from_noise(of_a_gaussian, noise, steps=n) - expected).abs().max() for n in (25, 100, 400)
    ]
    assert errors[2] < 0.01
    assert errors[0] > 3 * errors[1] > 9 * errors[2]  # of first order


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_euler_ends_at_a_single_clip_in_any_number_of_steps(noise, steps):
    clip = torch.full_like(noise, MEAN)
    torch.testing.assert_close(from_noise(lambda point, level: clip, noise, steps=steps), clip)


def test_levels_are_logit_normal():
    torch.manual_seed(0)
    levels = LogitNormal(mean=0.8, std=0.6).draw(20_000, torch.device("cpu"))
    logit = torch.logit(levels)
    assert logit.mean().item() == pytest.approx(0.8, abs=0.02)
    assert logit.std().item() == pytest.approx(0.6, abs=0.02)
    # what a zero estimate of clips of variance 1 costs: E[1/s^2]
    expected = 1 + 2 * math.exp(-0.8 + 0.6**2 / 2) + math.exp(-1.6 + 2 * 0.6**2)
    assert levels.pow(-2).mean().item() == pytest.approx(expected, rel=0.02)
