from dataclasses import dataclass, replace

import pytest
import torch

from worldmodel_kernels.tubelet_mask import PixelStatistics, TubeletSize


@dataclass(frozen=True)
class Case:
    """Arguments of the op, and a gradient for its result."""

    clips: torch.Tensor
    index: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    statistics: PixelStatistics
    size: TubeletSize
    gradient: torch.Tensor

    def run(self, op):
        """Tokens, gradient of weight, gradient of bias."""
        weight, bias = (x.detach().requires_grad_() for x in (self.weight, self.bias))
        tokens = op(self.clips, self.index, weight, bias, self.statistics, self.size)
        return tokens, *torch.autograd.grad(tokens, (weight, bias), self.gradient)

    def cuda(self):
        """The same case on the GPU."""
        tensors = ("clips", "index", "weight", "bias", "gradient")
        statistics = PixelStatistics(*(x.cuda() for x in self.statistics))
        return replace(self, statistics=statistics, **{x: getattr(self, x).cuda() for x in tensors})

    def to(self, dtype):
        """The same case with another dtype of weights; float64 has float64 statistics."""
        statistics = self.statistics
        if dtype == torch.float64:
            statistics = PixelStatistics(*(x.double() for x in statistics))
        floats = {x: getattr(self, x).to(dtype) for x in ("weight", "bias", "gradient")}
        return replace(self, statistics=statistics, **floats)


def _make_case(grid=(2, 3, 4), size=(2, 4), *, batch=2, kept=5, width=20, channels=3):
    size = TubeletSize(*size)
    options = {"generator": torch.Generator().manual_seed(0)}
    tokens = grid[0] * grid[1] * grid[2]
    clip = (grid[0] * size.frames, grid[1] * size.patch, grid[2] * size.patch, channels)
    columns = channels * size.frames * size.patch**2
    return Case(
        clips=torch.randint(0, 256, (batch, *clip), dtype=torch.uint8, **options),
        index=torch.rand(batch, tokens, **options).argsort()[:, :kept],
        weight=torch.randn(width, columns, **options) / columns**0.5,
        bias=torch.randn(width, **options),
        statistics=PixelStatistics(
            torch.rand(channels, **options), torch.rand(channels, **options) / 4 + 0.2
        ),
        size=size,
        gradient=torch.randn(batch, min(kept, tokens), width, **options),
    )


@pytest.fixture(scope="session")
def make_case():
    return _make_case
