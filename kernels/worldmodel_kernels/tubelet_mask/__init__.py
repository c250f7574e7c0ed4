"""From uint8 clips to the tokens that a mask keeps, without a clip in floating point."""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from worldmodel_kernels.dispatch import unsupported_dtype, use_triton
from worldmodel_kernels.tubelet_mask.op import embed
from worldmodel_kernels.tubelet_mask.reference import tubelet_mask_reference
from worldmodel_kernels.tubelet_mask.types import PixelStatistics, TubeletSize

__all__ = ["PixelStatistics", "TubeletSize", "tubelet_grid", "tubelet_mask"]


def tubelet_mask(
    clips: UInt8[Tensor, "b t h w c"],
    index: Int[Tensor, "#b k"],
    weight: Float[Tensor, "d cp"],
    bias: Float[Tensor, "d"],
    statistics: PixelStatistics,
    size: TubeletSize,
) -> Float[Tensor, "b k d"]:
    """The kept tubelets, normalised, times `weight`, plus `bias`; both get gradients.

    Ids count time first, width fastest. `weight` is the flattened kernel of a convolution, so its
    columns are channel, frame, row, column. Tokens have its dtype, or autocast's. The same input
    gives the same bits, in gradients as well.

    An id outside of the grid is an IndexError in the reference, and a token of NaN in Triton,
    where reading the ids would wait for the GPU.

    Raises:
        ValueError: Clips that are not whole tubelets, or weights for others.
    """
    _check_sizes(clips, weight, size)
    dtype = weight.dtype
    if torch.is_autocast_enabled(clips.device.type):
        dtype = torch.get_autocast_dtype(clips.device.type)
    if not use_triton("tubelet_mask", clips.device, unsupported_dtype("weights", dtype)):
        return tubelet_mask_reference(clips, index, weight, bias, statistics, size)
    weight, bias = weight.to(dtype), bias.to(dtype)
    return embed(clips, index, weight, bias, *statistics, *size)


def tubelet_grid(clips: UInt8[Tensor, "b t h w c"], size: TubeletSize) -> tuple[int, int, int]:
    """How many tubelets a clip has along time, height and width.

    Raises:
        ValueError: The axis that tubelets do not fill.
    """
    steps = {"frames": size.frames, "height": size.patch, "width": size.patch}
    for (axis, step), extent in zip(steps.items(), clips.shape[1:4], strict=True):
        if extent == 0 or extent % step:
            raise ValueError(
                f"clips have {axis} {extent}, not a multiple of {step} "
                f"({'tubelet' if axis == 'frames' else 'patch'}); "
                f"use {max(extent - extent % step, step)}"
            )
    _, frames, height, width, _ = clips.shape
    return frames // size.frames, height // size.patch, width // size.patch


def _check_sizes(
    clips: UInt8[Tensor, "b t h w c"], weight: Float[Tensor, "d cp"], size: TubeletSize
) -> None:
    tubelet_grid(clips, size)
    pixels = clips.shape[4] * size.frames * size.patch**2
    if weight.shape[1] != pixels:
        raise ValueError(f"weight has {weight.shape[1]} columns; tubelets have {pixels} values")
