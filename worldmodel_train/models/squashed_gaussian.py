"""A policy that draws actions from -1 to 1: a Gaussian behind a hyperbolic tangent."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.models.normed_mlp import normed_mlp

_LOWEST, _HIGHEST = -10.0, 2.0  # logarithms of the standard deviation


class SquashedGaussian(nn.Module):
    """A latent to the mean and the spread of an action."""

    def __init__(self, *, inputs: int, width: int, actions: int) -> None:
        super().__init__()
        self.actions = actions
        self.network = normed_mlp((inputs, width, width, 2 * actions))

    def forward(
        self, latents: Float[Tensor, "*b d"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*b a"], Float[Tensor, "*b"]]:
        """Drawn actions, and the logarithm of their density, in fp32."""
        mean, spread = self.network(latents).float().chunk(2, dim=-1)
        log_spread = _LOWEST + (_HIGHEST - _LOWEST) * (spread.tanh() + 1) / 2
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        before = mean + noise * log_spread.exp()
        density = -0.5 * noise.square() - log_spread - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh(x)^2), without the difference that rounding would make 0
        slope = 2 * (math.log(2) - before - functional.softplus(-2 * before))
        return before.tanh(), (density - slope).sum(dim=-1)
