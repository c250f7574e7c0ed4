"""The backward kernels: one for the gradient of queries, one for those of keys and values."""

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
def correct_queries(
    slope,  # fp32 [BLOCK_M, LANES], gradient of queries so far
    queries,  # [BLOCK_M, LANES]
    gradients,  # [BLOCK_M, LANES], of the output
    logs,  # fp32 [BLOCK_M], log-sum-exp, base 2
    deltas,  # fp32 [BLOCK_M]
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
    """Adds what keys from `begin` to `stop` give."""
    for first in range(begin, stop, BLOCK_N):
        key = first + tl.arange(0, BLOCK_N)
        keys = load_tile(k, key, stop, K_N, HEAD_DIM, LANES, CUT)
        values = load_tile(v, key, stop, V_N, HEAD_DIM, LANES, CUT)
        scores = tl.dot(queries, tl.trans(keys), input_precision=PRECISION)
        if CUT:
            scores = tl.where(key[None, :] < end[:, None], scores, float("-inf"))
        weights = tl.exp2(scores * scale - logs[:, None])
        slopes = tl.dot(gradients, tl.trans(values), input_precision=PRECISION)
        slopes = weights * (slopes - deltas[:, None])
        slope = tl.dot(slopes.to(keys.dtype), keys, slope, input_precision=PRECISION)
    return slope


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def queries_kernel(
    q,  # [n, h, e]
    k,  # [n, h, e]
    v,  # [n, h, e]
    out,  # [n, h, e]
    gradient,  # [n, h, e], of out
    lse,  # fp32 [h, n], contiguous
    delta,  # fp32 [h, n], contiguous, written: out times gradient, summed over lanes
    dq,  # [n, h, e], written
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
    GRADIENT_N: tl.constexpr,
    GRADIENT_H: tl.constexpr,
    DQ_N: tl.constexpr,
    DQ_H: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """The gradient of a tile of queries."""
    # late frames see more keys: they take longest
    head, start, length, first, _ = locate(
        starts, lengths, rows, longest, HEADS, BLOCK_M, LAST_FIRST=True
    )
    if first >= length:
        return
    q += start * Q_N + head * Q_H
    k += start * K_N + head * K_H
    v += start * V_N + head * V_H
    out += start * OUT_N + head * OUT_H
    gradient += start * GRADIENT_N + head * GRADIENT_H
    dq += start * DQ_N + head * DQ_H
    lse += head * rows + start
    delta += head * rows + start
    query = first + tl.arange(0, BLOCK_M)
    end = tl.minimum((query // frame + 1) * frame, length)
    seen_by_all = tl.minimum((first // frame + 1) * frame, length) // BLOCK_N * BLOCK_N
    last = tl.minimum(first + BLOCK_M, length) - 1
    seen_by_any = tl.minimum((last // frame + 1) * frame, length)
    outs = load_tile(out, query, length, OUT_N, HEAD_DIM, LANES, CUT=True)
    gradients = load_tile(gradient, query, length, GRADIENT_N, HEAD_DIM, LANES, CUT=True)
    deltas = tl.sum(outs.to(tl.float32) * gradients.to(tl.float32), 1)
    tl.store(delta + query, deltas, mask=query < length)
    queries = load_tile(q, query, length, Q_N, HEAD_DIM, LANES, CUT=True)
    logs = tl.load(lse + query, mask=query < length, other=float("inf"))
    slope = tl.zeros((BLOCK_M, LANES), tl.float32)
    base2 = scale * 1.4426950408889634  # log2(e)
    slope = correct_queries(
        slope, queries, gradients, logs, deltas, k, v, end, 0, seen_by_all, base2,
        K_N, V_N, HEAD_DIM, LANES, PRECISION, BLOCK_N, CUT=False,
    )  # fmt: skip
    slope = correct_queries(
        slope, queries, gradients, logs, deltas, k, v, end, seen_by_all, seen_by_any, base2,
        K_N, V_N, HEAD_DIM, LANES, PRECISION, BLOCK_N, CUT=True,
    )  # fmt: skip
    store_tile(dq, query, length, slope * scale, DQ_N, HEAD_DIM, LANES)


@triton.jit
@no_type_check
def correct_keys(
    slope_k,  # fp32 [BLOCK_N, LANES], gradient of keys so far
    slope_v,  # fp32 [BLOCK_N, LANES], gradient of values so far
    keys,  # [BLOCK_N, LANES]
    values,  # [BLOCK_N, LANES]
    q,  # [n, HEAD_DIM], the first row of the segment
    gradient,  # [n, HEAD_DIM], of the output
    lse,  # fp32 [n], base 2
    delta,  # fp32 [n]
    key,  # int32 [BLOCK_N]
    begin,
    stop,
    length,
    frame,
    scale,  # of scores, base 2
    Q_N: tl.constexpr,
    GRADIENT_N: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    CUT: tl.constexpr,
):
    """Adds what queries from `begin` to `stop` give, and those that fill the last tile."""
    for first in range(begin, stop, BLOCK_M):
        query = first + tl.arange(0, BLOCK_M)
        queries = load_tile(q, query, length, Q_N, HEAD_DIM, LANES, CUT=True)
        gradients = load_tile(gradient, query, length, GRADIENT_N, HEAD_DIM, LANES, CUT=True)
        # past the segment weights are 2^-inf
        logs = tl.load(lse + query, mask=query < length, other=float("inf"))
        deltas = tl.load(delta + query, mask=query < length, other=0.0)
        scores = tl.dot(keys, tl.trans(queries), input_precision=PRECISION)
        if CUT:
            end = (query // frame + 1) * frame
            scores = tl.where(key[:, None] < end[None, :], scores, float("-inf"))
        weights = tl.exp2(scores * scale - logs[None, :])
        cast = weights.to(gradients.dtype)
        slope_v = tl.dot(cast, gradients, slope_v, input_precision=PRECISION)
        slopes = tl.dot(values, tl.trans(gradients), input_precision=PRECISION)
        slopes = weights * (slopes - deltas[None, :])
        slope_k = tl.dot(slopes.to(queries.dtype), queries, slope_k, input_precision=PRECISION)
    return slope_k, slope_v


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def keys_kernel(
    q,  # [n, h, e]
    k,  # [n, h, e]
    v,  # [n, h, e]
    gradient,  # [n, h, e], of the output
    lse,  # fp32 [h, n], contiguous
    delta,  # fp32 [h, n], contiguous
    dk,  # [n, h, e], written
    dv,  # [n, h, e], written
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
    GRADIENT_N: tl.constexpr,
    GRADIENT_H: tl.constexpr,
    DK_N: tl.constexpr,
    DK_H: tl.constexpr,
    DV_N: tl.constexpr,
    DV_H: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """The gradients of a tile of keys and of their values."""
    # early frames are seen by more queries
    head, start, length, first, _ = locate(
        starts, lengths, rows, longest, HEADS, BLOCK_N, LAST_FIRST=False
    )
    if first >= length:
        return
    q += start * Q_N + head * Q_H
    k += start * K_N + head * K_H
    v += start * V_N + head * V_H
    gradient += start * GRADIENT_N + head * GRADIENT_H
    dk += start * DK_N + head * DK_H
    dv += start * DV_N + head * DV_H
    lse += head * rows + start
    delta += head * rows + start
    key = first + tl.arange(0, BLOCK_N)
    last = tl.minimum(first + BLOCK_N, length) - 1
    begin = first // frame * frame
    sees_all = last // frame * frame
    sees_all = begin + (sees_all - begin + BLOCK_M - 1) // BLOCK_M * BLOCK_M
    keys = load_tile(k, key, length, K_N, HEAD_DIM, LANES, CUT=True)
    values = load_tile(v, key, length, V_N, HEAD_DIM, LANES, CUT=True)
    slope_k = tl.zeros((BLOCK_N, LANES), tl.float32)
    slope_v = tl.zeros((BLOCK_N, LANES), tl.float32)
    base2 = scale * 1.4426950408889634  # log2(e)
    slope_k, slope_v = correct_keys(
        slope_k, slope_v, keys, values, q, gradient, lse, delta, key,
        begin, sees_all, length, frame, base2,
        Q_N, GRADIENT_N, HEAD_DIM, LANES, PRECISION, BLOCK_M, CUT=True,
    )  # fmt: skip
    slope_k, slope_v = correct_keys(
        slope_k, slope_v, keys, values, q, gradient, lse, delta, key,
        sees_all, length, length, frame, base2,
        Q_N, GRADIENT_N, HEAD_DIM, LANES, PRECISION, BLOCK_M, CUT=False,
    )  # fmt: skip
    store_tile(dk, key, length, slope_k * scale, DK_N, HEAD_DIM, LANES)
    store_tile(dv, key, length, slope_v, DV_N, HEAD_DIM, LANES)
