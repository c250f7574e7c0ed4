"""A predictor that says how sure it is: of every number of a latent a mean and a variance."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.losses.gaussian_kl import Gaussian
from worldmodel_train.models.blocks import init_linear
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.predictor import Predictor, PredictorConfig
from worldmodel_train.models.vit import EncoderConfig


class GaussianPredictor(Predictor):
    """Fills in target tokens, and says of each number of their latents its mean and its spread.

    Called as a `Predictor` is, it gives both beside each other, `b g m 2e`: means, then what
    `as_gaussian` makes logarithms of variances of. They begin near 0 and 1.
    """

    def __init__(self, config: PredictorConfig, encoder: EncoderConfig) -> None:
        super().__init__(config, encoder)
        self.proj = Linear(config.width, 2 * encoder.blocks.width)
        self.proj.apply(init_linear)


class PriorExpert(nn.Module):
    """What is expected of any token's latent before anything is seen; it begins as N(0, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(width))
        self.log_variance = nn.Parameter(torch.zeros(width))

    def forward(self) -> Float[Tensor, " _"]:
        """Means, then what `as_gaussian` makes logarithms of variances of."""
        return torch.cat((self.mean, self.log_variance))


def as_gaussian(said: Float[Tensor, "*b _"], bounds: tuple[float, float]) -> Gaussian:
    """The first half as means, the other as logarithms of variances within `bounds`, in fp32."""
    mean, log_variance = said.float().chunk(2, dim=-1)
    return Gaussian(mean, softly_bounded(log_variance, *bounds))


def softly_bounded(values: Float[Tensor, "*b"], low: float, high: float) -> Float[Tensor, "*b"]:
    """Values between `low` and `high`, nearly themselves where they are well within.

    As in PETS (arXiv 1805.12114), with a gradient at any value: what a hard bound has cut off would
    never come back. `high` is passed by as much as the bounds' softness adds up to, which is
    log(1 + exp(low - high)): 3e-7 where they are 15 apart.
    """
    below = high - functional.softplus(high - values)
    return low + functional.softplus(below - low)
