"""Gaussians against torch.distributions, an implementation of its own."""

import torch
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as torch_kl

from worldmodel_train.losses.gaussian_kl import (
    Gaussian,
    cross_entropy,
    kl_divergence,
    product_of_experts,
)


def gaussian(seed, *, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = torch.randn(2, 3, 4, generator=generator)
    return Gaussian(mean.requires_grad_(requires_grad), log_variance.requires_grad_(requires_grad))


def as_torch(one):
    return Independent(Normal(one.mean, (one.log_variance / 2).exp()), 1)


def test_the_divergence_is_that_of_the_first_from_the_second():
    one, other = gaussian(0), gaussian(1)
    torch.testing.assert_close(kl_divergence(one, other), torch_kl(as_torch(one), as_torch(other)))
    assert not torch.allclose(kl_divergence(one, other), kl_divergence(other, one))


def test_it_is_0_between_equals():
    assert kl_divergence(gaussian(0), gaussian(0)).abs().max() < 1e-6


def test_both_sides_get_a_gradient():
    one, other = gaussian(0, requires_grad=True), gaussian(1, requires_grad=True)
    kl_divergence(one, other).sum().backward()
    for part in (one.mean, one.log_variance, other.mean, other.log_variance):
        assert part.grad.abs().min() > 0


def test_the_density_is_that_of_independent_numbers():
    value = torch.randn(3, 4, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(
        gaussian(0).log_density(value), as_torch(gaussian(0)).log_prob(value)
    )


def test_it_is_the_divergence_and_the_entropy():
    one, other = gaussian(0), gaussian(1)
    expected = torch_kl(as_torch(one), as_torch(other)) + as_torch(one).entropy()
    torch.testing.assert_close(cross_entropy(one, other), expected)


def test_a_product_has_the_densities_multiplied_up_to_a_constant():
    experts = [gaussian(seed) for seed in range(3)]
    product = product_of_experts(*experts)
    values = torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(9))
    differences = torch.stack(
        [
            product.log_density(value) - sum(expert.log_density(value) for expert in experts)
            for value in values
        ]
    )
    torch.testing.assert_close(differences, differences[:1].expand_as(differences))


def test_one_expert_may_be_that_of_all():
    many, one = gaussian(0), Gaussian(torch.randn(4), torch.randn(4))
    for number in range(3):
        row = Gaussian(many.mean[number], many.log_variance[number])
        expected = product_of_experts(row, one)
        got = product_of_experts(many, one)
        torch.testing.assert_close(got.mean[number], expected.mean)
        torch.testing.assert_close(got.log_variance[number], expected.log_variance)


def test_a_vague_expert_says_nothing():
    vague = Gaussian(torch.full((3, 4), 50.0), torch.full((3, 4), 30.0))
    sure = gaussian(0)
    torch.testing.assert_close(product_of_experts(sure, vague).mean, sure.mean)
