"""A Triton kernel that turns queries and keys, and copies values, in one pass.

Nothing but the tables is used twice, so memory's bandwidth is the floor: each number of `qkv` read
once and written once. A program has the tables of a few tokens in registers and turns some of
their heads. Where strides are multiples of 16, as those of heads of 32, 64 or 80 channels are, it
spills no register on sm_80, sm_90 and sm_100, and needs no shared memory; no block size was timed.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

NUMBERS = 2048  # of one head that a program holds: tokens times width
OPTIONS = {"BLOCK_H": 4, "num_warps": 4}

VARYING = ("rows", "tokens", "table_b")  # one program for all lengths
TENSORS = ("queries", "keys", "values", "turned_queries", "turned_keys", "copied_values")
STRIDES = (
    *("query_b", "query_n", "query_h", "query_e"),
    *("key_b", "key_n", "key_h", "key_e"),
    *("value_b", "value_n", "value_h", "value_e"),
    *("turned_b", "turned_n", "turned_h"),
)

Packed = tuple[Tensor, Tensor, Tensor]  # queries, keys, values, each [b, n, h, e]


def turn_heads(qkv: Tensor, cos: Tensor, sin: Tensor) -> Packed:
    """Queries, keys and values `b n h e`, contiguous."""
    batch, tokens, _, heads, width = qkv.shape
    queries, keys, values = (qkv.new_empty(batch, tokens, heads, width) for _ in range(3))
    launch(qkv.unbind(2), (queries, keys, values), cos, sin, backward=False)
    return queries, keys, values


def turn_gradients(gradients: Packed, packed: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Writes the gradient of packed heads `b n 3 h e`; those of turned heads are read by stride."""
    launch(gradients, packed.unbind(2), cos, sin, backward=True)


def launch(
    sources: tuple[Tensor, ...],
    results: tuple[Tensor, ...],
    cos: Tensor,
    sin: Tensor,
    *,
    backward: bool,
) -> None:
    """Turn the first two sources into results that share their strides; copy the third."""
    batch, tokens, heads, width = sources[0].shape
    assert cos.shape == sin.shape
    assert cos.shape in {(batch, tokens, width), (1, tokens, width)}, cos.shape
    if sources[0].numel() == 0:
        return
    blocks = blocks_for(width)
    tiles = triton.cdiv(batch * tokens, blocks["BLOCK_N"])
    strides = [stride for x in sources for stride in x.stride()] + list(results[0].stride()[:3])
    with torch.cuda.device_of(cos):
        turn_kernel[(tiles * triton.cdiv(heads, blocks["BLOCK_H"]),)](
            **dict(zip(TENSORS, (*sources, *results), strict=True)),
            cos=cos.float().contiguous(),
            sin=sin.float().contiguous(),
            rows=batch * tokens,
            tokens=tokens,
            heads=heads,
            table_b=tokens if len(cos) > 1 else 0,
            **dict(zip(STRIDES, strides, strict=True)),
            WIDTH=width,
            BACKWARD=backward,
            **blocks,
        )


def blocks_for(width: int) -> dict[str, Any]:
    """Sizes of a program for heads of this width, and options of the compiler."""
    padded = triton.next_power_of_2(width)
    return {"PADDED": padded, "BLOCK_N": NUMBERS // padded, **OPTIONS}


@triton.jit
@no_type_check
def load_pairs(
    table,  # fp32 [b or 1, n, e], contiguous
    row,  # int64 [BLOCK_N], of the table
    present,  # bool [BLOCK_N]
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """What the first and the second channel of each pair find in the table."""
    channel = tl.arange(0, PADDED)
    mask = present[:, None] & (channel < WIDTH)[None, :]
    numbers = tl.load(table + row[:, None] * WIDTH + channel[None, :], mask=mask, other=0.0)
    return tl.split(tl.reshape(numbers, (BLOCK_N, PADDED // 2, 2)))


@triton.jit
@no_type_check
def turn_pairs(heads, own_first, own_second, to_first, to_second):
    """Heads [BLOCK_N, PADDED] in fp32: own share of each channel, and what its partner gives."""
    BLOCK_N: tl.constexpr = heads.shape[0]
    PADDED: tl.constexpr = heads.shape[1]
    first, second = tl.split(tl.reshape(heads.to(tl.float32), (BLOCK_N, PADDED // 2, 2)))
    turned = tl.join(first * own_first + second * to_first, second * own_second + first * to_second)
    return tl.reshape(turned, (BLOCK_N, PADDED))


@triton.jit(do_not_specialize=VARYING)
@no_type_check
def turn_kernel(
    queries,  # [b, n, h, e], strides query_*
    keys,  # [b, n, h, e], strides key_*
    values,  # [b, n, h, e], strides value_*
    turned_queries,  # [b, n, h, e], strides turned_*, written
    turned_keys,  # likewise
    copied_values,  # likewise
    cos,  # fp32 [b or 1, n, e], contiguous
    sin,  # fp32 [b or 1, n, e], contiguous
    rows,  # b * n
    tokens,
    heads,
    table_b,  # rows of the table from one sample to the next: n or 0
    query_b,
    query_n,
    query_h,
    query_e,
    key_b,
    key_n,
    key_h,
    key_e,
    value_b,
    value_n,
    value_h,
    value_e,
    turned_b,
    turned_n,
    turned_h,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    BACKWARD: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """Some heads of a tile of tokens; backward takes the transposed turn."""
    groups = tl.cdiv(heads, BLOCK_H)
    tile = tl.program_id(0).to(tl.int64)
    row = tile // groups * BLOCK_N + tl.arange(0, BLOCK_N)
    present = row < rows
    sample, token = row // tokens, row % tokens
    place = sample * table_b + token
    own_first, own_second = load_pairs(cos, place, present, WIDTH, PADDED, BLOCK_N)
    to_first, to_second = load_pairs(sin, place, present, WIDTH, PADDED, BLOCK_N)
    if BACKWARD:
        to_first, to_second = to_second, to_first
    channel = tl.arange(0, PADDED)
    known = present[:, None] & (channel < WIDTH)[None, :]
    across = channel.to(tl.int64)[None, :]
    query = queries + (sample * query_b + token * query_n)[:, None] + across * query_e
    key = keys + (sample * key_b + token * key_n)[:, None] + across * key_e
    value = values + (sample * value_b + token * value_n)[:, None] + across * value_e
    turned = (sample * turned_b + token * turned_n)[:, None] + channel[None, :]
    dtype: tl.constexpr = turned_queries.dtype.element_ty
    for step in tl.static_range(BLOCK_H):
        head = tile % groups * BLOCK_H + step
        mask = known & (head < heads)
        # all loads of a head before its stores: these may not be reordered
        query_head = tl.load(query + head * query_h, mask=mask, other=0.0)
        key_head = tl.load(key + head * key_h, mask=mask, other=0.0)
        value_head = tl.load(value + head * value_h, mask=mask, other=0.0)
        query_head = turn_pairs(query_head, own_first, own_second, to_first, to_second)
        key_head = turn_pairs(key_head, own_first, own_second, to_first, to_second)
        target = turned + head * turned_h
        tl.store(turned_queries + target, query_head.to(dtype), mask=mask)
        tl.store(turned_keys + target, key_head.to(dtype), mask=mask)
        tl.store(copied_values + target, value_head, mask=mask)
