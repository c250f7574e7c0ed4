"""From uint8 clips to tokens."""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from worldmodel_kernels.tubelet_mask import PixelStatistics, TubeletSize, tubelet_grid, tubelet_mask
from worldmodel_train.types import TokenGrid

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CHANNELS = 3


class TubeletProjection(nn.Linear):
    """The linear map, applied to pixels where they lie; a module, as sharding gathers by module."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, size: TubeletSize) -> None:
        super().__init__(CHANNELS * size.frames * size.patch**2, width)
        self.size = size
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD), persistent=False)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  # only weights are a Linear's
        self, clips: UInt8[Tensor, "b t h w c"], index: Int[Tensor, "#b k"]
    ) -> Float[Tensor, "b k d"]:
        """The tokens with these ids."""
        # fp32, not folded into the weights: there, the mean spoils the weights' bf16 gradient.
        statistics = PixelStatistics(self.mean, self.std)
        return tubelet_mask(clips, index, self.weight, self.bias, statistics, self.size)


class TubeletEmbed(nn.Module):
    """A linear map of tubelets: boxes of `tubelet` frames by `patch` by `patch` pixels.

    It is the convolution with stride equal to its kernel, written as a matrix: a Conv3d (or, with
    tubelet 1, Conv2d) weight becomes `proj.weight` by flattening all axes but the first.
    """

    def __init__(self, width: int, *, patch: int, tubelet: int) -> None:
        super().__init__()
        self.patch = patch
        self.tubelet = tubelet
        self.proj = TubeletProjection(width, TubeletSize(tubelet, patch))

    def grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that clips of this size become."""
        if clips.shape[4] != CHANNELS:
            raise ValueError(
                f"clips have {clips.shape[4]} channels in their last axis; expected RGB"
            )
        return TokenGrid(*tubelet_grid(clips, self.proj.size))

    def forward(
        self, clips: UInt8[Tensor, "b t h w c"], index: Int[Tensor, "#b k"]
    ) -> Float[Tensor, "b k d"]:
        """The tokens with these ids; other tubelets are neither normalised nor embedded."""
        return self.proj(clips, index)
