"""How far a picture that was put together from another one is from what it should be."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_C1, _C2 = 0.01**2, 0.03**2
_EPS = 1e-3


def structural_similarity(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """SSIM of each pixel's 3x3 pixels (Wang et al. 2004), all weighing the same, in fp32.

    Pictures are from 0 to 1; at the border they are mirrored. 1 where both are alike.
    """
    with torch.autocast(first.device.type, enabled=False):
        one, other = first.float(), second.float()
        mean_1, mean_2 = _around(one), _around(other)
        # differences from the middle of the range: fp32 has more digits for the squares then
        variances = _around((one - 0.5).square()) - (mean_1 - 0.5).square()
        variances = variances + _around((other - 0.5).square()) - (mean_2 - 0.5).square()
        covariance = _around((one - 0.5) * (other - 0.5)) - (mean_1 - 0.5) * (mean_2 - 0.5)
        light = (2 * mean_1 * mean_2 + _C1) / (mean_1.square() + mean_2.square() + _C1)
        return light * (2 * covariance + _C2) / (variances + _C2)


def photometric_error(
    made: Float[Tensor, "b c h w"], picture: Float[Tensor, "b c h w"], *, similarity: float
) -> Float[Tensor, "b h w"]:
    """The error of each pixel, in fp32: of its value, and, as a share, of what is around it.

    The value's is Charbonnier's, an absolute difference that is round at 0; the other is
    (1 - SSIM) / 2. Both are means over channels; `similarity` is the share of the second, .85 in
    Godard et al. (arXiv 1609.03677).
    """
    value = (made.float() - picture.float()).square().add(_EPS**2).sqrt() - _EPS
    around = (1 - structural_similarity(made, picture)).clamp(0, 2) / 2
    return torch.lerp(value, around, similarity).mean(dim=1)


def _around(pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The mean of each pixel's 3x3."""
    return functional.avg_pool2d(functional.pad(pixels, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
