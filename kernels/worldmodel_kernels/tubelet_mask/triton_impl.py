"""Triton kernels that read the pixels of kept tubelets straight from uint8 clips.

Both are matrix products whose operand of pixels is made tile by tile, in registers. A tile holds
one channel of `BLOCK_P` pixels of `BLOCK_M` tokens: the channels of a pixel are neighbours in
memory, so reading one brings the others into the cache. Blocks are the largest of a few that spill
no register on sm_80, sm_90 and sm_100; none was timed.
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from worldmodel_kernels.precision import product_precision

# by bytes of a weight
EMBED = {
    # left alone, the assembler allows itself 128 registers on sm_100, and spills
    2: {
        "BLOCK_M": 64,
        "BLOCK_N": 128,
        "BLOCK_P": 32,
        "num_warps": 8,
        "num_stages": 3,
        "maxnreg": 255,
    },
    4: {"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_P": 32, "num_warps": 4, "num_stages": 2},
}
CORRELATE = {
    2: {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_P": 64, "num_warps": 4, "num_stages": 3},
    4: {"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_P": 32, "num_warps": 4, "num_stages": 2},
}


@dataclass(frozen=True)
class Tubelets:
    """Kept tubelets: where their pixels lie, and how these are normalised."""

    clips: Tensor  # uint8 [b, t, h, w, c]
    index: Tensor  # int [b or 1, k]
    mean: Tensor  # fp32 [c]
    std: Tensor  # fp32 [c]
    frames: int
    patch: int

    @property
    def batch(self) -> int:
        """Clips."""
        return self.clips.shape[0]

    @property
    def kept(self) -> int:
        """Tokens of a clip."""
        return self.index.shape[1]

    def arguments(self) -> dict[str, Any]:
        """What both kernels are told of them."""
        _, frames, height, width, channels = self.clips.shape
        index = self.index.expand(self.batch, -1)
        return {
            "clips": self.clips,
            "index": index,
            "mean": self.mean.float().contiguous(),
            "std": self.std.float().contiguous(),
            "rows": self.batch * self.kept,
            "kept": self.kept,
            "grid_t": frames // self.frames,
            "grid_h": height // self.patch,
            "grid_w": width // self.patch,
            **dict(zip(STRIDES, (*self.clips.stride(), *index.stride()), strict=True)),
            "CHANNELS": channels,
            "FRAMES": self.frames,
            "PATCH": self.patch,
        }


VARYING = ("rows", "kept", "index_b")  # one program for all lengths
STRIDES = ("clip_b", "clip_t", "clip_h", "clip_w", "clip_c", "index_b", "index_k")


def embed_tubelets(tubelets: Tubelets, weight: Tensor, bias: Tensor) -> Tensor:
    """Tokens `b k d` in the dtype of `weight`."""
    width = len(weight)
    tokens = weight.new_empty(tubelets.batch, tubelets.kept, width)
    if tokens.numel() == 0:
        return tokens
    blocks = EMBED[weight.itemsize]
    rows = tubelets.batch * tubelets.kept
    tiles = triton.cdiv(rows, blocks["BLOCK_M"]) * triton.cdiv(width, blocks["BLOCK_N"])
    with torch.cuda.device_of(weight):
        embed_kernel[(tiles,)](
            weight=weight.contiguous(),
            bias=bias.contiguous(),
            tokens=tokens,
            width=width,
            PRECISION=product_precision(),
            **tubelets.arguments(),
            **blocks,
        )
    return tokens


def correlate_tubelets(tubelets: Tubelets, gradient: Tensor) -> Tensor:
    """Sums over tokens of gradient times pixels, `d (c p)`; no atomics, so always the same bits."""
    width, channels = gradient.shape[-1], tubelets.clips.shape[-1]
    volume = tubelets.frames * tubelets.patch**2
    product = gradient.new_empty(width, channels * volume)
    if product.numel() == 0:
        return product
    blocks = CORRELATE[gradient.itemsize]
    tiles = triton.cdiv(width, blocks["BLOCK_N"]) * triton.cdiv(volume, blocks["BLOCK_P"])
    with torch.cuda.device_of(gradient):
        correlate_kernel[(tiles * channels,)](
            gradient=gradient.contiguous(),
            product=product,
            width=width,
            PRECISION=product_precision(),
            **tubelets.arguments(),
            **blocks,
        )
    return product


@triton.jit
@no_type_check
def tubelet_starts(
    index,  # int [b, k], strides index_b, index_k
    row,  # int64 [BLOCK_M], clip * kept + place in index
    rows,
    kept,
    grid_t,
    grid_h,
    grid_w,
    clip_b,
    clip_t,
    clip_h,
    clip_w,
    index_b,
    index_k,
    FRAMES: tl.constexpr,
    PATCH: tl.constexpr,
):
    """Offsets of the first pixels, and which ids the grid has; rows past the last read id 0."""
    clip = row // kept
    place = index + clip * index_b + row % kept * index_k
    token = tl.load(place, mask=row < rows, other=0).to(tl.int64)
    inside = (token >= 0) & (token < grid_t * grid_h * grid_w)
    frame = token // (grid_h * grid_w) * FRAMES
    line = token // grid_w % grid_h * PATCH
    column = token % grid_w * PATCH
    start = clip * clip_b + frame * clip_t + line * clip_h + column * clip_w
    return start, inside


@triton.jit
@no_type_check
def load_pixels(
    clips,  # uint8 [b, t, h, w, c]
    mean,  # fp32 [c]
    std,  # fp32 [c]
    start,  # int64 [BLOCK_M]
    readable,  # bool [BLOCK_M]
    pixel,  # int32 [BLOCK_P], (frame * PATCH + line) * PATCH + column
    channel,
    clip_t,
    clip_h,
    clip_w,
    clip_c,
    VOLUME: tl.constexpr,
    PATCH: tl.constexpr,
):
    """Normalised pixels, fp32 [BLOCK_M, BLOCK_P]; those past the tubelet are some finite number."""
    frame = (pixel // (PATCH * PATCH)).to(tl.int64)
    line = (pixel // PATCH % PATCH).to(tl.int64)
    column = (pixel % PATCH).to(tl.int64)
    offset = frame * clip_t + line * clip_h + column * clip_w + channel * clip_c
    mask = readable[:, None] & (pixel < VOLUME)[None, :]
    raw = tl.load(clips + start[:, None] + offset[None, :], mask=mask, other=0)
    scale = 1.0 / tl.load(std + channel)
    return (raw.to(tl.float32) * (1.0 / 255.0) - tl.load(mean + channel)) * scale


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def embed_kernel(
    clips,  # uint8 [b, t, h, w, c]
    index,  # int [b, k]
    mean,  # fp32 [c]
    std,  # fp32 [c]
    weight,  # [d, c * p], contiguous
    bias,  # [d]
    tokens,  # [b * k, d], contiguous, written
    rows,
    kept,
    width,
    grid_t,
    grid_h,
    grid_w,
    clip_b,
    clip_t,
    clip_h,
    clip_w,
    clip_c,
    index_b,
    index_k,
    CHANNELS: tl.constexpr,
    FRAMES: tl.constexpr,
    PATCH: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A tile of tokens; tiles of the same tokens are neighbours, so their pixels stay in L2."""
    VOLUME: tl.constexpr = FRAMES * PATCH * PATCH
    across = tl.cdiv(width, BLOCK_N)
    tile = tl.program_id(0).to(tl.int64)
    row = tile // across * BLOCK_M + tl.arange(0, BLOCK_M)
    unit = tile % across * BLOCK_N + tl.arange(0, BLOCK_N)
    start, inside = tubelet_starts(
        index, row, rows, kept, grid_t, grid_h, grid_w,
        clip_b, clip_t, clip_h, clip_w, index_b, index_k, FRAMES, PATCH,
    )  # fmt: skip
    readable = inside & (row < rows)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in range(0, VOLUME, BLOCK_P):
        pixel = first + tl.arange(0, BLOCK_P)
        known = (pixel < VOLUME)[:, None] & (unit < width)[None, :]
        for channel in tl.static_range(CHANNELS):
            pixels = load_pixels(
                clips, mean, std, start, readable, pixel, channel,
                clip_t, clip_h, clip_w, clip_c, VOLUME, PATCH,
            )  # fmt: skip
            column = channel * VOLUME + pixel
            place = weight + unit[None, :] * (CHANNELS * VOLUME) + column[:, None]
            weights = tl.load(place, mask=known, other=0.0)
            total = tl.dot(pixels.to(weights.dtype), weights, total, input_precision=PRECISION)
    total += tl.load(bias + unit, mask=unit < width, other=0.0).to(tl.float32)[None, :]
    total = tl.where(inside[:, None], total, float("nan"))
    place = tokens + row[:, None] * width + unit[None, :]
    mask = (row < rows)[:, None] & (unit < width)[None, :]
    tl.store(place, total.to(tokens.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def correlate_kernel(
    clips,  # uint8 [b, t, h, w, c]
    index,  # int [b, k]
    mean,  # fp32 [c]
    std,  # fp32 [c]
    gradient,  # [b * k, d], contiguous
    product,  # [d, c * p], contiguous, written
    rows,
    kept,
    width,
    grid_t,
    grid_h,
    grid_w,
    clip_b,
    clip_t,
    clip_h,
    clip_w,
    clip_c,
    index_b,
    index_k,
    CHANNELS: tl.constexpr,
    FRAMES: tl.constexpr,
    PATCH: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A tile of the weights' gradient: one program goes through all tokens, in order."""
    VOLUME: tl.constexpr = FRAMES * PATCH * PATCH
    across = tl.cdiv(VOLUME, BLOCK_P)
    tile = tl.program_id(0).to(tl.int64)
    pixel = (tile % across * BLOCK_P).to(tl.int32) + tl.arange(0, BLOCK_P)
    channel = tile // across % CHANNELS
    unit = tile // (across * CHANNELS) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_N, BLOCK_P), tl.float32)
    for first in range(0, rows, BLOCK_M):
        row = first + tl.arange(0, BLOCK_M).to(tl.int64)
        start, inside = tubelet_starts(
            index, row, rows, kept, grid_t, grid_h, grid_w,
            clip_b, clip_t, clip_h, clip_w, index_b, index_k, FRAMES, PATCH,
        )  # fmt: skip
        pixels = load_pixels(
            clips, mean, std, start, inside & (row < rows), pixel, channel,
            clip_t, clip_h, clip_w, clip_c, VOLUME, PATCH,
        )  # fmt: skip
        pixels = tl.where(inside[:, None], pixels, float("nan"))
        place = gradient + row[None, :] * width + unit[:, None]
        mask = (unit < width)[:, None] & (row < rows)[None, :]
        slope = tl.load(place, mask=mask, other=0.0)
        total = tl.dot(slope, pixels.to(slope.dtype), total, input_precision=PRECISION)
    place = product + unit[:, None] * (CHANNELS * VOLUME) + channel * VOLUME + pixel[None, :]
    mask = (unit < width)[:, None] & (pixel < VOLUME)[None, :]
    tl.store(place, total.to(product.dtype.element_ty), mask=mask)
