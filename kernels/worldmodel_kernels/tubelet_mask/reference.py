"""The definition of the op: gather, normalise, `linear`."""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from worldmodel_kernels.linear import linear
from worldmodel_kernels.tubelet_mask.types import PixelStatistics, TubeletSize


def tubelet_mask_reference(
    clips: UInt8[Tensor, "b t h w c"],
    index: Int[Tensor, "#b k"],
    weight: Float[Tensor, "d cp"],
    bias: Float[Tensor, "d"],
    statistics: PixelStatistics,
    size: TubeletSize,
) -> Float[Tensor, "b k d"]:
    """The tokens with these ids; other tubelets are neither normalised nor embedded."""
    tubelets = gather(clips, index, size)
    # bf16 has too few bits for the normalisation; in place, as on a CPU new memory is dear
    pixels = tubelets.to(torch.promote_types(weight.dtype, torch.float32))
    pixels.div_(255.0).sub_(statistics.mean[:, None]).div_(statistics.std[:, None])
    flat = pixels.flatten(2).flatten(0, 1)
    return linear(flat.to(weight.dtype), weight, bias).unflatten(0, pixels.shape[:2])


def gather(
    clips: UInt8[Tensor, "b t h w c"], index: Int[Tensor, "#b k"], size: TubeletSize
) -> UInt8[Tensor, "b k c p"]:
    """The pixels of the tubelets with these ids, time first, then rows, then columns."""
    boxes = clips.unflatten(3, (-1, size.patch)).unflatten(2, (-1, size.patch))
    boxes = boxes.unflatten(1, (-1, size.frames))  # b t x h y w z c
    height, width = boxes.shape[3], boxes.shape[5]
    sample = torch.arange(len(clips), device=index.device)[:, None]
    frame, row, column = index // (height * width), index // width % height, index % width
    tubelets = boxes[sample, frame, :, row, :, column]  # b k x y z c
    return tubelets.movedim(-1, 2).flatten(3)
