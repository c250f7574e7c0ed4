from functools import partial

import pytest
import torch

from tests.two_ranks import on_two_ranks
from worldmodel_train.losses.sigreg import SigReg

WIDTH = 16
FEW = SigReg(directions=64)


@pytest.mark.parametrize("samples", [32, 256])
def test_gaussian_samples_score_near_their_expectation_however_many_they_are(samples):
    """The expectation is the integral of the window times the function's variance."""
    torch.manual_seed(0)
    t = torch.linspace(-3, 3, 20001, dtype=torch.float64)
    expected = torch.trapezoid(torch.exp(-(t**2) / 2) * (1 - torch.exp(-(t**2))), t)
    scores = [FEW.loss(torch.randn(4, samples, WIDTH)) for _ in range(8)]
    assert torch.stack(scores).mean() == pytest.approx(float(expected), rel=0.05)


def test_collapsed_latents_score_0_402_for_each_sample():
    torch.manual_seed(0)
    assert SigReg().loss(torch.zeros(3, 200, WIDTH)) / 200 == pytest.approx(0.402, abs=2e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda z: 0.3 * z,
        lambda z: z + 0.8,
        lambda z: z[..., :1].expand_as(z),
        # in two clusters, with mean 0 and variance 1 in every direction
        lambda z: torch.cat((0.3 * z[..., :1] + 0.95 * z[..., :1].sign(), z[..., 1:]), dim=-1),
    ],
    ids=["too narrow", "off centre", "one dimension", "bimodal"],
)
def test_what_is_not_an_isotropic_gaussian_scores_far_above(spoil):
    """Every direction is tried, so that one that is not Gaussian is found among all."""
    torch.manual_seed(0)
    latents = torch.randn(1, 1024, 2)
    torch.manual_seed(1)
    assert FEW.loss(spoil(latents)) > 5 * FEW.loss(latents)


def test_each_time_step_is_compared_by_itself():
    """Steps that move apart make a Gaussian neither of each nor of their union."""
    torch.manual_seed(0)
    latents = torch.randn(2, 128, WIDTH)
    apart = torch.stack((latents[0] + 1, latents[1] - 1))
    torch.manual_seed(1)
    together = FEW.loss(apart)
    alone = []
    for step in apart:
        torch.manual_seed(1)
        alone.append(FEW.loss(step[None]))
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_gradient_descent_on_it_makes_latents_gaussian():
    torch.manual_seed(0)
    latents = (0.1 * torch.randn(1, 128, 4) + 1).requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=0.05)
    for _ in range(80):
        optimizer.zero_grad()
        FEW.loss(latents).backward()
        optimizer.step()
    values = latents.detach()[0]
    assert values.mean(dim=0).abs().max() < 0.15
    torch.testing.assert_close(values.T.cov(), torch.eye(4), atol=0.25, rtol=0)


def test_directions_come_from_torchs_generator():
    latents = torch.randn(1, 64, WIDTH)
    scores = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        scores.append(SigReg(directions=8).loss(latents))
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])


def test_under_autocast_it_is_computed_in_fp32():
    latents = torch.randn(1, 64, WIDTH)
    torch.manual_seed(1)
    full = FEW.loss(latents)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(FEW.loss(latents), full)


@pytest.mark.distributed
# Python 3.12 and later warn of forks beside threads
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_ranks_give_value_and_gradient_of_one_with_the_joined_batch(tmp_path):
    torch.manual_seed(0)
    weight, inputs = torch.randn(WIDTH, WIDTH), torch.randn(2, 12, WIDTH)
    torch.manual_seed(7)
    expected = _value_and_gradient(weight, inputs)
    answers = on_two_ranks(partial(_half, weight, inputs), tmp_path)
    for value, _ in answers:
        assert value == pytest.approx(expected[0], rel=1e-5)
    mean = (torch.tensor(answers[0][1]) + torch.tensor(answers[1][1])) / 2
    torch.testing.assert_close(mean, torch.tensor(expected[1]))


def _half(weight, inputs, rank):
    torch.manual_seed(7 + rank)
    return _value_and_gradient(weight, inputs[:, 6 * rank : 6 * rank + 6])


def _value_and_gradient(weight, inputs):
    weight = weight.clone().requires_grad_()
    loss = SigReg(directions=32).loss(inputs @ weight)
    loss.backward()
    return loss.item(), weight.grad.tolist()
