"""Launchers of the Triton kernels of attention inside segments; no score is ever in memory.

A program has a tile of queries (forward, gradient of queries) or of keys (gradients of keys and
values) of one head of one segment, and goes through what these see or what sees them, in order:
nothing is added up across programs, so the same input gives the same bits. Tiles that nobody sees
are skipped, and only tiles that a frame's or a segment's end cuts are masked.

The floor, of `p` pairs of tokens that see each other, in `h` heads of `e` channels: 4 p h e FLOPs
forward, and 14 p h e backward, where scores and their gradients are made twice; a head dim that
is no power of two is padded to one. Memory: 4 n h e values forward (q, k, v, out) and 12 n h e
backward (q, k, v and the gradient twice, out, dq, dk, dv), if keys and values, which are read once
per tile of queries, come from L2.

Blocks spill no register on sm_80, sm_90 and sm_100; of those that do not, they are large. None was
timed.
"""

from typing import Any

import torch
from torch import Tensor

from worldmodel_kernels.precision import product_precision
from worldmodel_kernels.segment_attention.triton_backward import keys_kernel, queries_kernel
from worldmodel_kernels.segment_attention.triton_forward import forward_kernel
from worldmodel_kernels.segment_attention.types import Segments

# by bytes of a value, then by padded head dim; BLOCK_M queries, BLOCK_N keys
FORWARD = {
    2: {
        32: {"BLOCK_M": 128, "BLOCK_N": 64, "num_warps": 8, "num_stages": 2},
        64: {"BLOCK_M": 128, "BLOCK_N": 64, "num_warps": 4, "num_stages": 3},
        128: {"BLOCK_M": 64, "BLOCK_N": 32, "num_warps": 4, "num_stages": 3},
    },
    4: {
        32: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
        64: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 8, "num_stages": 2},
        128: {"BLOCK_M": 16, "BLOCK_N": 16, "num_warps": 4, "num_stages": 2},
    },
}
QUERIES = {
    2: {
        32: {"BLOCK_M": 128, "BLOCK_N": 64, "num_warps": 8, "num_stages": 2},
        64: {"BLOCK_M": 128, "BLOCK_N": 64, "num_warps": 8, "num_stages": 2},
        128: {"BLOCK_M": 128, "BLOCK_N": 32, "num_warps": 8, "num_stages": 2},
    },
    4: {
        32: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
        64: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
        128: {"BLOCK_M": 16, "BLOCK_N": 16, "num_warps": 4, "num_stages": 2},
    },
}
KEYS = {
    2: {
        32: {"BLOCK_M": 32, "BLOCK_N": 128, "num_warps": 8, "num_stages": 3},
        64: {"BLOCK_M": 32, "BLOCK_N": 128, "num_warps": 8, "num_stages": 3},
        128: {"BLOCK_M": 64, "BLOCK_N": 64, "num_warps": 8, "num_stages": 2},
    },
    4: {
        32: {"BLOCK_M": 32, "BLOCK_N": 16, "num_warps": 4, "num_stages": 2},
        64: {"BLOCK_M": 16, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
        128: {"BLOCK_M": 16, "BLOCK_N": 16, "num_warps": 4, "num_stages": 2},
    },
}


def forward(q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, segments: Segments) -> None:
    """Writes `out`, and the log-sum-exp of scores in base 2, for rows that are in a segment.

    All but `lse`, fp32 [h n] and contiguous, are [n h e] of any strides but the last's, which is 1.
    """
    assert lse.is_contiguous(), "lse is read head by head"
    blocks = FORWARD[q.itemsize][padded(q.shape[2])]
    tiles = num_tiles(q, segments, blocks["BLOCK_M"])
    if tiles == 0:
        return
    tensors = {"q": q, "k": k, "v": v, "out": out}
    with torch.cuda.device_of(q):
        forward_kernel[(tiles,)](
            lse=lse, **tensors, **strides(tensors), **arguments(q, segments), **blocks
        )


def backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    gradient: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    segments: Segments,
) -> None:
    """Writes `dq`, `dk` and `dv` for rows that are in a segment; shapes as in `forward`."""
    queries_blocks = QUERIES[q.itemsize][padded(q.shape[2])]
    keys_blocks = KEYS[q.itemsize][padded(q.shape[2])]
    queries_tiles = num_tiles(q, segments, queries_blocks["BLOCK_M"])
    keys_tiles = num_tiles(q, segments, keys_blocks["BLOCK_N"])
    if queries_tiles == 0:
        return
    given = {"q": q, "k": k, "v": v, "gradient": gradient}
    queries = {**given, "out": out, "dq": dq}
    keys = {**given, "dk": dk, "dv": dv}
    common = {"lse": lse, "delta": torch.empty_like(lse), **arguments(q, segments)}
    with torch.cuda.device_of(q):
        # first, as it writes delta
        queries_kernel[(queries_tiles,)](**common, **queries, **strides(queries), **queries_blocks)
        keys_kernel[(keys_tiles,)](**common, **keys, **strides(keys), **keys_blocks)


def padded(head_dim: int) -> int:
    """Lanes of a head, a power of two."""
    return 1 << (head_dim - 1).bit_length()


def num_tiles(q: Tensor, segments: Segments, block: int) -> int:
    """Programs: each head of each segment has as many as the longest segment needs."""
    return segments.count * q.shape[1] * -(-segments.longest // block)


def strides(tensors: dict[str, Tensor]) -> dict[str, int]:
    """`Q_N` and `Q_H` of `q` and so on; constants, so that loads are known to be aligned."""
    found = {}
    for name, tensor in tensors.items():
        along_n, along_h, along_e = tensor.stride()
        assert along_e == 1, f"{name} has stride {along_e} inside of a head"
        found |= {f"{name.upper()}_N": along_n, f"{name.upper()}_H": along_h}
    return found


def arguments(q: Tensor, segments: Segments) -> dict[str, Any]:
    """What all kernels are told."""
    rows, heads, head_dim = q.shape
    for stated in (segments.starts, segments.lengths):
        assert stated is None or stated.is_contiguous(), "segments are read one after the other"
    return {
        "starts": segments.starts,
        "lengths": segments.lengths,
        "rows": rows,
        "longest": segments.longest,
        "frame": segments.frame or segments.longest,
        "scale": head_dim**-0.5,
        "HEADS": heads,
        "HEAD_DIM": head_dim,
        "LANES": padded(head_dim),
        "PRECISION": product_precision(),
    }
