"""The forward kernel: the softmax is taken online."""

from typing import no_type_check

import triton
import triton.language as tl

from worldmodel_kernels.segment_attention.triton_tiles import (
    VARYING,
    load_tile,
    locate,
    store_tile,
)


@triton.jit
@no_type_check
def attend(
    top,  # fp32 [BLOCK_M], greatest score so far, times scale
    total,  # fp32 [BLOCK_M], sum of 2^(score - top)
    gathered,  # fp32 [BLOCK_M, LANES]
    queries,  # [BLOCK_M, LANES]
    k,  # [n, HEAD_DIM], the first row of the segment
    v,  # [n, HEAD_DIM]
    end,  # int32 [BLOCK_M], how many keys a query sees
    begin,
    stop,
    scale,  # of scores, base 2
    K_N: tl.constexpr,
    V_N: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_N: tl.constexpr,
    CUT: tl.constexpr,
):
    """The online softmax, taken on through keys from `begin` to `stop`."""
    for first in range(begin, stop, BLOCK_N):
        key = first + tl.arange(0, BLOCK_N)
        keys = load_tile(k, key, stop, K_N, HEAD_DIM, LANES, CUT)
        scores = tl.dot(queries, tl.trans(keys), input_precision=PRECISION)
        if CUT:
            scores = tl.where(key[None, :] < end[:, None], scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1) * scale)
        weights = tl.exp2(scores * scale - higher[:, None])
        decay = tl.exp2(top - higher)
        total = total * decay + tl.sum(weights, 1)
        values = load_tile(v, key, stop, V_N, HEAD_DIM, LANES, CUT)
        gathered = gathered * decay[:, None]
        gathered = tl.dot(weights.to(values.dtype), values, gathered, input_precision=PRECISION)
        top = higher
    return top, total, gathered


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def forward_kernel(
    q,  # [n, h, e]
    k,  # [n, h, e]
    v,  # [n, h, e]
    out,  # [n, h, e], written
    lse,  # fp32 [h, n], contiguous, written
    starts,  # int [s] or None
    lengths,  # int [s] or None
    rows,
    longest,
    frame,
    scale,
    Q_N: tl.constexpr,
    Q_H: tl.constexpr,
    K_N: tl.constexpr,
    K_H: tl.constexpr,
    V_N: tl.constexpr,
    V_H: tl.constexpr,
    OUT_N: tl.constexpr,
    OUT_H: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """A tile of queries."""
    # late frames see more keys: they take longest
    head, start, length, first, sound = locate(
        starts, lengths, rows, longest, HEADS, BLOCK_M, LAST_FIRST=True
    )
    if first >= length:
        return
    q += start * Q_N + head * Q_H
    k += start * K_N + head * K_H
    v += start * V_N + head * V_H
    out += start * OUT_N + head * OUT_H
    lse += head * rows + start
    query = first + tl.arange(0, BLOCK_M)
    end = tl.minimum((query // frame + 1) * frame, length)
    seen_by_all = tl.minimum((first // frame + 1) * frame, length) // BLOCK_N * BLOCK_N
    last = tl.minimum(first + BLOCK_M, length) - 1
    seen_by_any = tl.minimum((last // frame + 1) * frame, length)
    queries = load_tile(q, query, length, Q_N, HEAD_DIM, LANES, CUT=True)
    top = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    gathered = tl.zeros((BLOCK_M, LANES), tl.float32)
    scale *= 1.4426950408889634  # log2(e)
    top, total, gathered = attend(
        top, total, gathered, queries, k, v, end, 0, seen_by_all, scale,
        K_N, V_N, HEAD_DIM, LANES, PRECISION, BLOCK_N, CUT=False,
    )  # fmt: skip
    top, total, gathered = attend(
        top, total, gathered, queries, k, v, end, seen_by_all, seen_by_any, scale,
        K_N, V_N, HEAD_DIM, LANES, PRECISION, BLOCK_N, CUT=True,
    )  # fmt: skip
    total = tl.where(sound, total, float("nan"))
    store_tile(out, query, length, gathered / total[:, None], OUT_N, HEAD_DIM, LANES)
    tl.store(lse + query, top + tl.log2(total), mask=query < length)
