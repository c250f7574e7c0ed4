"""Triton kernels that read the pixels of kept tubelets straight from uint8 clips.

Both are matrix products whose operand of pixels is made tile by tile, in registers. A tile holds
`BLOCK_P` values of `BLOCK_M` tubelets in the order of memory, where the channels of a pixel are
neighbours, so that a thread reads up to 16 bytes at once. Where each tubelet begins is found once,
by a kernel of its own: it takes divisions. Blocks are the largest of a few that spill no register
on sm_80, sm_90 and sm_100; none was timed.
"""

import math
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

    @property
    def packed(self) -> bool:
        """Whether a line of a tubelet is one stretch of memory."""
        return self.clips.stride()[3:] == (self.clips.shape[4], 1)

    @property
    def aligned(self) -> int:
        """A power of two, at most 16, that divides length and address of every tubelet's lines."""
        if not self.packed:
            return 1
        line = self.patch * self.clips.stride(3)
        return math.gcd(16, self.clips.data_ptr(), line, *self.clips.stride()[:3])

    def starts(self) -> Tensor:
        """Where each kept tubelet begins in `clips`, int64 [b * k]; -1 for ids outside the grid."""
        _, frames, height, width, _ = self.clips.shape
        index = self.index.expand(self.batch, -1)
        rows = self.batch * self.kept
        starts = torch.empty(rows, dtype=torch.int64, device=self.clips.device)
        starts_kernel[(triton.cdiv(rows, STARTS_BLOCK),)](
            index=index,
            starts=starts,
            rows=rows,
            kept=self.kept,
            grid_t=frames // self.frames,
            grid_h=height // self.patch,
            grid_w=width // self.patch,
            **dict(zip(STRIDES, (*self.clips.stride(), *index.stride()), strict=True)),
            FRAMES=self.frames,
            PATCH=self.patch,
            BLOCK=STARTS_BLOCK,
        )
        return starts

    def arguments(self) -> dict[str, Any]:
        """What both products are told of them."""
        names = ("clip_b", "clip_t", "clip_h", "clip_w", "clip_c")
        strides = dict(zip(names, self.clips.stride(), strict=True))
        del strides["clip_b"]
        return {
            "clips": self.clips,
            "starts": self.starts(),
            "mean": self.mean.float().contiguous(),
            "std": self.std.float().contiguous(),
            "rows": self.batch * self.kept,
            **strides,
            "CHANNELS": self.clips.shape[4],
            "FRAMES": self.frames,
            "PATCH": self.patch,
            "PACKED": self.packed,
            "ALIGNED": self.aligned,
        }


STARTS_BLOCK = 256
VARYING = ("rows", "kept", "index_b")  # one program for all lengths
STRIDES = ("clip_b", "clip_t", "clip_h", "clip_w", "clip_c", "index_b", "index_k")


def embed_tubelets(tubelets: Tubelets, weight: Tensor, bias: Tensor) -> Tensor:
    """Tokens `b k d` in the dtype of `weight`."""
    width = len(weight)
    tokens = weight.new_empty(tubelets.batch, tubelets.kept, width)
    if tokens.numel() == 0:
        return tokens
    blocks = EMBED[weight.itemsize]
    channels = tubelets.clips.shape[-1]
    by_pixel = weight.unflatten(1, (channels, -1)).transpose(1, 2).contiguous()
    rows = tubelets.batch * tubelets.kept
    tiles = triton.cdiv(rows, blocks["BLOCK_M"]) * triton.cdiv(width, blocks["BLOCK_N"])
    with torch.cuda.device_of(weight):
        embed_kernel[(tiles,)](
            weight=by_pixel,
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
    values = channels * volume
    tiles = triton.cdiv(width, blocks["BLOCK_N"]) * triton.cdiv(values, blocks["BLOCK_P"])
    with torch.cuda.device_of(gradient):
        correlate_kernel[(tiles,)](
            gradient=gradient.contiguous(),
            product=product,
            width=width,
            PRECISION=product_precision(),
            **tubelets.arguments(),
            **blocks,
        )
    return product


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def starts_kernel(
    index,  # int [b, k], strides index_b, index_k
    starts,  # int64 [b * k], written
    rows,
    kept,
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
    FRAMES: tl.constexpr,
    PATCH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Offsets of the first values of tubelets; -1 for ids that the grid does not have."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    clip = row // kept
    place = index + clip * index_b + row % kept * index_k
    token = tl.load(place, mask=row < rows, other=0).to(tl.int64)
    inside = (token >= 0) & (token < grid_t * grid_h * grid_w)
    frame = token // (grid_h * grid_w) * FRAMES
    line = token // grid_w % grid_h * PATCH
    column = token % grid_w * PATCH
    start = clip * clip_b + frame * clip_t + line * clip_h + column * clip_w
    tl.store(starts + row, tl.where(inside, start, -1), mask=row < rows)


@triton.jit
@no_type_check
def value_offsets(
    value,  # int32 [BLOCK_P], ((frame * PATCH + line) * PATCH + column) * CHANNELS + channel
    clip_t,
    clip_h,
    clip_w,
    clip_c,
    CHANNELS: tl.constexpr,
    PATCH: tl.constexpr,
    PACKED: tl.constexpr,
):
    """Where the values of a tubelet lie after its start, int64."""
    LINE: tl.constexpr = PATCH * CHANNELS
    frame = (value // (PATCH * LINE)).to(tl.int64)
    line = (value // LINE % PATCH).to(tl.int64)
    offset = frame * clip_t + line * clip_h
    if PACKED:
        offset += value % LINE
    else:
        offset += (value // CHANNELS % PATCH).to(tl.int64) * clip_w
        offset += (value % CHANNELS).to(tl.int64) * clip_c
    return offset


@triton.jit
@no_type_check
def load_pixels(
    clips,  # uint8 [b, t, h, w, c]
    mean,  # fp32 [c]
    std,  # fp32 [c]
    start,  # int64 [BLOCK_M]
    readable,  # bool [BLOCK_M]
    value,  # int32 [BLOCK_P]
    offset,  # int64 [BLOCK_P], of the values
    VALUES: tl.constexpr,
    CHANNELS: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Normalised pixels, fp32 [BLOCK_M, BLOCK_P]; those past the tubelet are some finite number."""
    # lines are whole multiples of ALIGNED, which is 1 where they are not stretches of memory
    mask = tl.max_constancy(readable[:, None] & (value < VALUES)[None, :], (1, ALIGNED))
    place = tl.multiple_of(clips + (start[:, None] + offset[None, :]), (1, ALIGNED))
    raw = tl.load(tl.max_contiguous(place, (1, ALIGNED)), mask=mask, other=0)
    scale = 1.0 / tl.load(std + value % CHANNELS)
    shift = tl.load(mean + value % CHANNELS)
    return (raw.to(tl.float32) * (1.0 / 255.0) - shift[None, :]) * scale[None, :]


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def embed_kernel(
    clips,  # uint8 [b, t, h, w, c]
    starts,  # int64 [b * k]
    mean,  # fp32 [c]
    std,  # fp32 [c]
    weight,  # [d, p, c], contiguous
    bias,  # [d]
    tokens,  # [b * k, d], contiguous, written
    rows,
    width,
    clip_t,
    clip_h,
    clip_w,
    clip_c,
    CHANNELS: tl.constexpr,
    FRAMES: tl.constexpr,
    PATCH: tl.constexpr,
    PACKED: tl.constexpr,
    ALIGNED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A tile of tokens; tiles of the same tokens are neighbours, so their pixels stay in L2."""
    VALUES: tl.constexpr = FRAMES * PATCH * PATCH * CHANNELS
    across = tl.cdiv(width, BLOCK_N)
    tile = tl.program_id(0)
    row = (tile // across).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    unit = (tile % across).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    start = tl.load(starts + row, mask=row < rows, other=0)
    inside = start >= 0
    readable = inside & (row < rows)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in range(0, VALUES, BLOCK_P):
        value = first + tl.arange(0, BLOCK_P)
        offset = value_offsets(value, clip_t, clip_h, clip_w, clip_c, CHANNELS, PATCH, PACKED)
        pixels = load_pixels(
            clips, mean, std, start, readable, value, offset, VALUES, CHANNELS, ALIGNED
        )
        known = (value < VALUES)[:, None] & (unit < width)[None, :]
        place = weight + unit[None, :] * VALUES + value[:, None]
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
    starts,  # int64 [b * k]
    mean,  # fp32 [c]
    std,  # fp32 [c]
    gradient,  # [b * k, d], contiguous
    product,  # [d, c * p], contiguous, written
    rows,
    width,
    clip_t,
    clip_h,
    clip_w,
    clip_c,
    CHANNELS: tl.constexpr,
    FRAMES: tl.constexpr,
    PATCH: tl.constexpr,
    PACKED: tl.constexpr,
    ALIGNED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A tile of the weights' gradient: one program goes through all tokens, in order."""
    VOLUME: tl.constexpr = FRAMES * PATCH * PATCH
    VALUES: tl.constexpr = VOLUME * CHANNELS
    across = tl.cdiv(VALUES, BLOCK_P)
    tile = tl.program_id(0)
    value = tile % across * BLOCK_P + tl.arange(0, BLOCK_P)
    unit = (tile // across).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    offset = value_offsets(value, clip_t, clip_h, clip_w, clip_c, CHANNELS, PATCH, PACKED)
    total = tl.zeros((BLOCK_N, BLOCK_P), tl.float32)
    for first in range(0, rows, BLOCK_M):
        row = first + tl.arange(0, BLOCK_M).to(tl.int64)
        start = tl.load(starts + row, mask=row < rows, other=0)
        inside = start >= 0
        pixels = load_pixels(
            clips, mean, std, start, inside & (row < rows), value, offset,
            VALUES, CHANNELS, ALIGNED,
        )  # fmt: skip
        pixels = tl.where(inside[:, None], pixels, float("nan"))
        place = gradient + row[None, :] * width + unit[:, None]
        mask = (unit < width)[:, None] & (row < rows)[None, :]
        slope = tl.load(place, mask=mask, other=0.0)
        total = tl.dot(slope, pixels.to(slope.dtype), total, input_precision=PRECISION)
    column = value % CHANNELS * VOLUME + value // CHANNELS
    place = product + unit[:, None] * VALUES + column[None, :]
    mask = (unit < width)[:, None] & (value < VALUES)[None, :]
    tl.store(place, total.to(product.dtype.element_ty), mask=mask)
