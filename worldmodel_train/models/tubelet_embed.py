"""From uint8 clips to tokens."""

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from worldmodel_train.models.coordinates import coordinates
from worldmodel_train.types import TokenGrid

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CHANNELS = 3


class TubeletEmbed(nn.Module):
    """A linear map of tubelets: boxes of `tubelet` frames by `patch` by `patch` pixels.

    It is the convolution with stride equal to its kernel, written as a matrix: a Conv3d (or, with
    tubelet 1, Conv2d) weight becomes `proj.weight` by flattening all axes but the first.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, *, patch: int, tubelet: int) -> None:
        super().__init__()
        self.patch = patch
        self.tubelet = tubelet
        self.proj = nn.Linear(CHANNELS * tubelet * patch**2, width)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None], persistent=False)

    def grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that clips of this size become."""
        _, frames, height, width, channels = clips.shape
        if channels != CHANNELS:
            raise ValueError(f"clips have {channels} channels in their last axis; expected RGB")
        steps = {"frames": self.tubelet, "height": self.patch, "width": self.patch}
        for (axis, step), size in zip(steps.items(), (frames, height, width), strict=True):
            if size == 0 or size % step:
                nearest = max(size - size % step, step)
                raise ValueError(
                    f"clips have {axis} {size}, not a multiple of {step} "
                    f"({'tubelet' if axis == 'frames' else 'patch'}); use {nearest}"
                )
        return TokenGrid(frames // self.tubelet, height // self.patch, width // self.patch)

    def forward(
        self, clips: UInt8[Tensor, "b t h w c"], index: Int[Tensor, "#b k"]
    ) -> Float[Tensor, "b k d"]:
        """The tokens with these ids; other tubelets are neither normalised nor embedded."""
        tubelets = self.gather(clips, index)
        # fp32, not folded into the weights: there, the mean spoils the weights' bf16 gradient.
        pixels = (tubelets / 255.0).sub_(self.mean).div_(self.std)
        return self.proj(rearrange(pixels, "b k c p -> b k (c p)"))

    def gather(
        self, clips: UInt8[Tensor, "b t h w c"], index: Int[Tensor, "#b k"]
    ) -> UInt8[Tensor, "b k c p"]:
        """The pixels of the tubelets with these ids, straight from the clip, time first."""
        boxes = rearrange(
            clips,
            "b (t x) (h y) (w z) c -> b t h w x y z c",
            x=self.tubelet,
            y=self.patch,
            z=self.patch,
        )
        frame, row, column = coordinates(index, self.grid(clips))
        sample = torch.arange(len(clips), device=index.device)[:, None]
        return rearrange(boxes[sample, frame, row, column], "b k x y z c -> b k c (x y z)")
