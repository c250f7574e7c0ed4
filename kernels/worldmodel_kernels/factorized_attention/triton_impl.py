"""Triton kernels of attention along time; rows of a packed `qkv` are read where they lie.

A place has 8 to 32 frames, too few for a tile of its own. So a program takes some places of one
head, `ROWS` rows together, and scores between places are masked. That is all these rows see: the
softmax needs no second pass, and backward makes it again from queries and keys, so that nothing
but `qkv` is saved, and writes all three gradients from one program; nothing is added up across
programs, so the same input gives the same bits.

The floor is memory's bandwidth, for each row of `e` values of a head: 4e read and written forward,
7e backward. A tile spends 4 ROWS e FLOPs a row forward and 10 ROWS e backward, most of them on
masked scores: at 64 rows of bf16 that is 32 FLOPs a byte forward and 46 backward, which a GPU
of more than 200 FLOPs a byte hides. So no more rows than the matrix units ask for, or than a place
has frames. Tiles spill no register on sm_80, sm_90 and sm_100; none was timed.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from worldmodel_kernels.precision import product_precision
from worldmodel_kernels.segment_attention.triton_impl import padded

FEWEST_ROWS = {2: 64, 4: 16}  # by bytes of a value

VARYING = ("places",)  # one program for all of them
QKV_STRIDES = ("qkv_b", "qkv_t", "qkv_s", "qkv_x", "qkv_h")
GRADIENT_STRIDES = ("gradient_b", "gradient_t", "gradient_s", "gradient_h", "gradient_e")


def attend_over_time(qkv: Tensor, *, causal: bool) -> Tensor:
    """What each token gathers, `b t s h e`, contiguous."""
    batch, frames, places, _, heads, head_dim = qkv.shape
    out = qkv.new_empty(batch, frames, places, heads, head_dim)
    if out.numel() == 0:
        return out
    blocks = blocks_for(frames, head_dim, qkv.itemsize)
    with torch.cuda.device_of(qkv):
        forward_kernel[(num_tiles(qkv, blocks["ROWS"]),)](
            **arguments(qkv), out=out, CAUSAL=causal, **blocks
        )
    return out


def time_gradients(qkv: Tensor, gradient: Tensor, *, causal: bool) -> Tensor:
    """The gradient `b t s 3 h e` of `qkv`, contiguous; that of the result is read by stride."""
    packed = qkv.new_empty(qkv.shape)
    if packed.numel() == 0:
        return packed
    blocks = blocks_for(qkv.shape[1], qkv.shape[-1], qkv.itemsize)
    with torch.cuda.device_of(qkv):
        backward_kernel[(num_tiles(qkv, blocks["ROWS"]),)](
            **arguments(qkv),
            gradient=gradient,
            packed=packed,
            **dict(zip(GRADIENT_STRIDES, gradient.stride(), strict=True)),
            CAUSAL=causal,
            **blocks,
        )
    return packed


def blocks_for(frames: int, head_dim: int, itemsize: int) -> dict[str, int]:
    """Sizes of a tile, and options of the compiler."""
    lanes = padded(head_dim)
    rows = max(padded(frames), FEWEST_ROWS[itemsize])
    blocks = {"LANES": lanes, "ROWS": rows, "num_warps": 4}
    if itemsize == 4 and rows > 16:
        # products of fp32 hold their operands in registers: many warps share these, and use them
        # all, where the assembler left alone would rather have several blocks, and spills
        num_warps = lanes // 8
        blocks |= {"num_warps": num_warps, "maxnreg": min(255, 65536 // (32 * num_warps))}
    return blocks


def num_tiles(qkv: Tensor, rows: int) -> int:
    """Programs: each head of each clip has as many as its places need."""
    batch, frames, places, _, heads, _ = qkv.shape
    return batch * heads * -(-places // (rows // frames))


def arguments(qkv: Tensor) -> dict[str, Any]:
    """What both kernels are told."""
    _, frames, places, _, heads, head_dim = qkv.shape
    *strides, along_e = qkv.stride()
    assert along_e == 1, f"qkv has stride {along_e} inside of a head"
    return {
        "qkv": qkv,
        "places": places,
        "heads": heads,
        "scale": head_dim**-0.5,
        **dict(zip(QKV_STRIDES, strides, strict=True)),
        "FRAMES": frames,
        "HEAD_DIM": head_dim,
        "PRECISION": product_precision(),
    }


@triton.jit
@no_type_check
def locate(places, heads, FRAMES: tl.constexpr, ROWS: tl.constexpr):
    """Sample and head of this program; frame and place of each row, int64; which rows exist."""
    PLACES: tl.constexpr = ROWS // FRAMES
    tile = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(places, PLACES)
    row = tl.arange(0, ROWS)
    place = tile // heads % blocks * PLACES + row // FRAMES
    frame = (row % FRAMES).to(tl.int64)
    present = (row < PLACES * FRAMES) & (place < places)
    return tile // heads // blocks, tile % heads, frame, place, present


@triton.jit
@no_type_check
def load_rows(
    base,  # [rows, HEAD_DIM]
    row,  # int64 [ROWS], offset
    present,  # bool [ROWS]
    stride,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
):
    """[ROWS, LANES]; zero past the head and for rows that are not there."""
    lane = tl.arange(0, LANES)
    mask = present[:, None] & (lane < HEAD_DIM)[None, :]
    return tl.load(base + row[:, None] + lane.to(tl.int64)[None, :] * stride, mask=mask, other=0.0)


@triton.jit
@no_type_check
def store_rows(
    base,  # [rows, HEAD_DIM], written
    row,  # int64 [ROWS], offset
    present,  # bool [ROWS]
    tile,  # fp32 [ROWS, LANES]
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
):
    """Writes the rows that are there."""
    lane = tl.arange(0, LANES)
    mask = present[:, None] & (lane < HEAD_DIM)[None, :]
    tl.store(base + row[:, None] + lane[None, :], tile.to(base.dtype.element_ty), mask=mask)


@triton.jit
@no_type_check
def exponentials(
    queries,  # [ROWS, LANES]
    keys,  # [ROWS, LANES]
    scale,
    FRAMES: tl.constexpr,
    ROWS: tl.constexpr,
    CAUSAL: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The softmax of scores, fp32 [ROWS, ROWS], and what its rows still have to be divided by.

    Every row sees itself, also one that is not there: nothing is infinite.
    """
    scores = tl.dot(queries, tl.trans(keys), input_precision=PRECISION)
    query = tl.arange(0, ROWS)[:, None]
    key = tl.arange(0, ROWS)[None, :]
    seen = query // FRAMES == key // FRAMES
    if CAUSAL:
        seen = seen & (key <= query)
    scores = tl.where(seen, scores * (scale * 1.4426950408889634), float("-inf"))  # log2(e)
    weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
    return weights, tl.sum(weights, 1)


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def forward_kernel(
    qkv,  # [b, t, s, 3, h, e], strides qkv_*
    out,  # [b, t, s, h, e], contiguous, written
    places,
    heads,
    scale,
    qkv_b,
    qkv_t,
    qkv_s,
    qkv_x,
    qkv_h,
    FRAMES: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    PRECISION: tl.constexpr,
    CAUSAL: tl.constexpr,
    LANES: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Some places of a head."""
    sample, head, frame, place, present = locate(places, heads, FRAMES, ROWS)
    row = sample * qkv_b + frame * qkv_t + place * qkv_s + head * qkv_h
    queries = load_rows(qkv, row, present, 1, HEAD_DIM, LANES)
    keys = load_rows(qkv, row + qkv_x, present, 1, HEAD_DIM, LANES)
    values = load_rows(qkv, row + 2 * qkv_x, present, 1, HEAD_DIM, LANES)
    weights, total = exponentials(queries, keys, scale, FRAMES, ROWS, CAUSAL, PRECISION)
    gathered = tl.dot(weights.to(values.dtype), values, input_precision=PRECISION)
    row = (((sample * FRAMES + frame) * places + place) * heads + head) * HEAD_DIM
    store_rows(out, row, present, gathered / total[:, None], HEAD_DIM, LANES)


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def backward_kernel(
    qkv,  # [b, t, s, 3, h, e], strides qkv_*
    gradient,  # [b, t, s, h, e], of the result, strides gradient_*
    packed,  # [b, t, s, 3, h, e], contiguous, written: the gradient of qkv
    places,
    heads,
    scale,
    qkv_b,
    qkv_t,
    qkv_s,
    qkv_x,
    qkv_h,
    gradient_b,
    gradient_t,
    gradient_s,
    gradient_h,
    gradient_e,
    FRAMES: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    PRECISION: tl.constexpr,
    CAUSAL: tl.constexpr,
    LANES: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Some places of a head."""
    sample, head, frame, place, present = locate(places, heads, FRAMES, ROWS)
    row = sample * qkv_b + frame * qkv_t + place * qkv_s + head * qkv_h
    queries = load_rows(qkv, row, present, 1, HEAD_DIM, LANES)
    keys = load_rows(qkv, row + qkv_x, present, 1, HEAD_DIM, LANES)
    values = load_rows(qkv, row + 2 * qkv_x, present, 1, HEAD_DIM, LANES)
    row = sample * gradient_b + frame * gradient_t + place * gradient_s + head * gradient_h
    gradients = load_rows(gradient, row, present, gradient_e, HEAD_DIM, LANES)
    weights, total = exponentials(queries, keys, scale, FRAMES, ROWS, CAUSAL, PRECISION)
    weights = weights / total[:, None]
    across: tl.constexpr = HEAD_DIM  # from one head to the next
    row = (((sample * FRAMES + frame) * places + place) * 3 * heads + head) * across
    slope = tl.dot(tl.trans(weights.to(values.dtype)), gradients, input_precision=PRECISION)
    store_rows(packed, row + 2 * heads * across, present, slope, HEAD_DIM, LANES)
    slopes = tl.dot(gradients, tl.trans(values), input_precision=PRECISION)
    slopes = weights * (slopes - tl.sum(weights * slopes, 1)[:, None]) * scale
    slopes = slopes.to(values.dtype)
    slope = tl.dot(slopes, keys, input_precision=PRECISION)
    store_rows(packed, row, present, slope, HEAD_DIM, LANES)
    slope = tl.dot(tl.trans(slopes), queries, input_precision=PRECISION)
    store_rows(packed, row + heads * across, present, slope, HEAD_DIM, LANES)
