import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.cartography.spectrum import (
    covariance_spectrum,
    dimension_std,
    lidar,
    pairwise_cosine,
    rankme,
)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_rankme_of_k_equal_singular_values_is_k(rank):
    torch.manual_seed(0)
    left = torch.linalg.qr(torch.randn(20, rank).double()).Q
    right = torch.linalg.qr(torch.randn(9, rank).double()).Q
    assert rankme(2.5 * left @ right.T).item() == pytest.approx(rank, rel=1e-6)


def test_rankme_of_two_unequal_singular_values_follows_the_formula():
    latents = torch.diag(torch.tensor([3.0, 1.0]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert rankme(latents).item() == pytest.approx(math.exp(entropy))


def test_constant_latents_have_rank_one_and_no_spread_and_cosine_one():
    latents = torch.full((6, 4), 0.3)
    assert rankme(latents).item() == pytest.approx(1, abs=1e-6)
    assert dimension_std(latents).item() == pytest.approx(0, abs=1e-7)
    assert pairwise_cosine(latents).item() == pytest.approx(1)


def test_zero_latents_have_rank_zero_rather_than_nan():
    assert rankme(torch.zeros(4, 3)).item() == 0


def test_latents_that_are_not_finite_give_nan_rather_than_an_error():
    latents = torch.ones(4, 3)
    latents[1, 2] = torch.inf
    assert rankme(latents).isnan()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 99))
def test_pairwise_cosine_is_the_mean_over_all_pairs(num_latents, width, seed):
    latents = torch.randn(num_latents, width, generator=torch.Generator().manual_seed(seed))
    cosines = [
        torch.cosine_similarity(latents[i].double(), latents[j].double(), dim=0)
        for i in range(num_latents)
        for j in range(num_latents)
        if i != j
    ]
    expected = torch.stack(cosines).mean().item()
    assert pairwise_cosine(latents).item() == pytest.approx(expected, abs=1e-6)


def test_pairwise_cosine_of_one_latent_is_nan():
    assert pairwise_cosine(torch.ones(1, 3)).isnan()


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 99))
def test_rankme_does_not_depend_on_scale_or_order(scale, seed):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(12, 5, generator=generator)
    shuffled = scale * latents[torch.randperm(12, generator=generator)]
    assert rankme(shuffled).item() == pytest.approx(rankme(latents).item(), rel=1e-4)


def test_monitors_of_bfloat16_latents_with_a_gradient_carry_none():
    latents = torch.randn(5, 4, dtype=torch.bfloat16, requires_grad=True)
    values = [rankme(latents), dimension_std(latents), pairwise_cosine(latents)]
    assert all(value.isfinite() and not value.requires_grad for value in values)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
@pytest.mark.parametrize("decades", [0, 3, 9])
def test_rankme_is_that_of_the_singular_values_in_float64(shape, decades):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(shape, generator=generator)
    latents = latents * torch.logspace(0, -decades, shape[1])
    singular = torch.linalg.svdvals(latents.double())
    shares = singular / singular.sum()
    expected = (-(shares * shares.log()).sum()).exp()
    assert rankme(latents).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("shape", [(60, 8), (8, 60)])
def test_the_spectrum_is_that_of_the_covariance(shape):
    latents = 5 + torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    eigenvalues = torch.linalg.eigvalsh(latents.T.cov(correction=0)).clamp_min(0)
    eigenvalues = eigenvalues[-min(shape) :]
    spectrum = covariance_spectrum(latents)
    dimensions = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert spectrum.dimensions.item() == pytest.approx(dimensions.item())
    assert spectrum.top_share.item() == pytest.approx((eigenvalues[-1] / eigenvalues.sum()).item())
    condition = eigenvalues[-1] / eigenvalues.median()
    assert spectrum.condition.item() == pytest.approx(condition.item())


def test_latents_on_a_line_vary_in_one_direction():
    spectrum = covariance_spectrum(torch.arange(6.0)[:, None] * torch.ones(4) + 1)
    assert spectrum.dimensions.item() == pytest.approx(1)
    assert spectrum.top_share.item() == pytest.approx(1)
    assert spectrum.condition.isinf()


@pytest.mark.parametrize("width", [5, 40])
def test_lidar_is_the_entropy_of_the_whitened_covariance_between_samples(width):
    """Against the definition, with the root of a matrix; views of a sample need not be as many."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.tensor([3, 3, 3, 7, 7, 1, 1, 1, 1, 4, 4, 4])
    latents = torch.randn(12, width, generator=generator).double() + samples[:, None].sin()
    means = torch.stack([latents[samples == s].mean(0) for s in (1, 3, 4, 7)])
    own = torch.stack([latents[samples == s].mean(0) for s in samples.tolist()])
    between = (means - means.mean(0)).T @ (means - means.mean(0)) / 4
    within = (latents - own).T @ (latents - own) / 12 + 1e-4 * torch.eye(width)
    values, vectors = torch.linalg.eigh(within)
    root = vectors @ torch.diag(values**-0.5) @ vectors.T
    shares = torch.linalg.eigvalsh(root @ between @ root).clamp_min(0)
    entropy = torch.special.entr(shares / shares.sum()).sum()
    assert lidar(latents, samples).item() == pytest.approx(entropy.exp().item(), rel=1e-5)


def test_lidar_counts_directions_that_tell_samples_apart_and_no_others():
    generator = torch.Generator().manual_seed(0)
    samples = torch.arange(30).repeat_interleave(20)
    noise = torch.randn(600, 6, generator=generator)
    place = torch.randn(30, 2, generator=generator)[samples]
    latents = torch.cat((10 * place, noise), dim=1)
    assert 1.9 < lidar(latents, samples).item() < 2.1
    assert rankme(latents).item() > 4


def test_lidar_of_samples_that_are_all_alike_is_zero_and_of_one_sample_nan():
    latents = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    latents[3:] = latents[:3].flip(0)
    assert lidar(latents, torch.tensor([0, 0, 0, 1, 1, 1])).item() < 1.01
    assert lidar(latents, torch.zeros(6).long()).isnan()
    assert lidar(latents, torch.arange(6)).isnan()
