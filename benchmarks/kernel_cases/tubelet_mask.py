"""The embedding of kept tubelets."""

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.ceilings import Work
from benchmarks.kernel_cases.case import Bench, Case
from worldmodel_kernels.tubelet_mask import PixelStatistics, TubeletSize, tubelet_mask
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD


def tubelet_mask_case(bench: Bench, *, percent: int) -> Case:
    """The embedding of `percent` of the tubelets; also as Conv3d over all, then gather."""
    batch, frames, side, width = bench.choose(cpu=(2, 16, 128, 384), cuda=(24, 16, 256, 1024))
    size = TubeletSize(2, 16)
    tokens = frames // size.frames * (side // size.patch) ** 2
    clips = torch.randint(
        0, 256, (batch, frames, side, side, 3), dtype=torch.uint8, device=bench.device
    )
    pixels = 3 * size.frames * size.patch**2
    weight, bias = bench.randn(width, pixels, std=0.02), bench.randn(width)
    statistics = PixelStatistics(
        *(torch.tensor(one, device=bench.device) for one in (IMAGENET_MEAN, IMAGENET_STD))
    )
    kept = tokens * percent // 100
    index = torch.rand(batch, tokens, device=bench.device).argsort(1)[:, :kept].sort(1).values

    def embed() -> Tensor:
        return tubelet_mask(clips, index, weight, bias, statistics, size)

    def convolve() -> Tensor:
        normal = ((clips / 255.0 - statistics.mean) / statistics.std).to(weight.dtype)
        kernel = weight.unflatten(1, (3, size.frames, size.patch, size.patch))
        stride = (size.frames, size.patch, size.patch)
        seen = functional.conv3d(normal.permute(0, 4, 1, 2, 3), kernel, bias, stride=stride)
        return _gather(seen.flatten(2).transpose(1, 2), index)

    element = weight.element_size()
    rows = batch * kept
    product = 2.0 * rows * pixels * width
    moved = rows * pixels + element * (width * pixels + rows * width)
    return Case(
        op="tubelet_mask",
        size=f"B{batch} {frames}f {side}px d{width}, {percent} % kept",
        spellings=bench.by_choice(embed) | {"Conv3d, then gather": convolve},
        leaves=(weight, bias),
        forward=Work(product, moved),
        backward=Work(product, moved),
    )


def _gather(tokens: Tensor, index: Tensor) -> Tensor:
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))
