"""What the kernels of attention share: where a program is, and its loads and stores."""

from typing import no_type_check

import triton
import triton.language as tl

# they change with every batch: multiples of 16 would be compiled apart
VARYING = ["rows", "longest", "frame"]


@triton.jit
@no_type_check
def locate(
    starts,  # int [s] or None
    lengths,  # int [s] or None
    rows,
    longest,
    HEADS: tl.constexpr,
    BLOCK: tl.constexpr,
    LAST_FIRST: tl.constexpr,  # whether the last tile of a segment begins first
):
    """This program's head, its segment's first row and tokens, and its first token there.

    Last is whether the segment is one: else only those of its rows that exist are touched.
    """
    tile = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(longest, BLOCK)
    segment = tile // blocks // HEADS
    first = (tile % blocks).to(tl.int32) * BLOCK
    if LAST_FIRST:
        first = (blocks - 1) * BLOCK - first
    if starts is None:
        start = segment * longest
        length = longest
        sound = start + length <= rows
    else:
        start = tl.load(starts + segment).to(tl.int64)
        length = tl.load(lengths + segment).to(tl.int64)
        sound = (start >= 0) & (length <= longest) & (start + length <= rows)
        end = tl.minimum(start + length, rows)
        start = tl.maximum(start, 0)
        length = tl.minimum(end - start, longest).to(tl.int32)
    return tile // blocks % HEADS, start, length, first, sound


@triton.jit
@no_type_check
def load_tile(
    base,  # [n, HEAD_DIM], the first row of a segment
    token,  # int32 [BLOCK]
    stop,
    STRIDE: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    CUT: tl.constexpr,
):
    """[BLOCK, LANES]; zero past the head, and past `stop` if the tile is cut."""
    lane = tl.arange(0, LANES)
    place = base + token.to(tl.int64)[:, None] * STRIDE + lane[None, :]
    mask = (lane < HEAD_DIM)[None, :]
    if CUT:
        mask = (token < stop)[:, None] & mask
    return tl.load(place, mask=mask, other=0.0)


@triton.jit
@no_type_check
def store_tile(
    base,  # [n, HEAD_DIM], the first row of a segment, written
    token,  # int32 [BLOCK]
    stop,
    tile,  # fp32 [BLOCK, LANES]
    STRIDE: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
):
    """Writes the rows before `stop`."""
    lane = tl.arange(0, LANES)
    place = base + token.to(tl.int64)[:, None] * STRIDE + lane[None, :]
    mask = (token < stop)[:, None] & (lane < HEAD_DIM)[None, :]
    tl.store(place, tile.to(base.dtype.element_ty), mask=mask)
