import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from worldmodel_train.models.squashed_gaussian import SquashedGaussian


def test_the_density_is_that_of_a_gaussian_behind_a_tanh():
    torch.manual_seed(0)
    policy = SquashedGaussian(inputs=4, width=8, actions=2)
    torch.nn.init.normal_(policy.network[-1].weight)
    latents = torch.randn(50, 4)
    actions, density = policy(latents, torch.Generator().manual_seed(1))
    mean, spread = policy.network(latents).chunk(2, dim=-1)
    normal = Normal(mean, (-10 + 6 * (spread.tanh() + 1)).exp())
    expected = TransformedDistribution(normal, TanhTransform(cache_size=1))
    inside = (actions.abs() < 0.99).all(dim=-1)  # beyond, the inverse of tanh is rounding
    assert inside.sum() > 10
    torch.testing.assert_close(
        density[inside], expected.log_prob(actions)[inside].sum(-1), rtol=1e-3, atol=1e-3
    )


def test_a_generator_decides_what_is_drawn():
    policy = SquashedGaussian(inputs=4, width=8, actions=2)
    drawn = [policy(torch.ones(3, 4), torch.Generator().manual_seed(s))[0] for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
