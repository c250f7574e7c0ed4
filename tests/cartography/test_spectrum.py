import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.cartography.spectrum import dimension_std, pairwise_cosine, rankme


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
