"""Triton kernels of attention inside segments: the softmax is taken online, no score is stored.

A program has a tile of queries (forward, gradient of queries) or of keys (gradients of keys and
values) of one head of one segment, and goes through what sees them or is seen by them, in order:
nothing is added up across programs, so the same input gives the same bits. A mask is only looked at
in tiles that a frame's or a segment's end cuts; tiles that nobody sees are skipped.

Products in multiply-adds of a pair that sees each other and a head: 2 e forward; backward 7 e, as
scores and their gradient are computed twice. Memory is read and written once a tensor at best
(q, k, v, out: 4 n h e), and keys and values once per tile of queries through L2.
Blocks are the largest of a few that spill no register; none was timed.
"""

from typing import Any

import torch
import triton
from torch import Tensor

from worldmodel_kernels.segment_attention.triton_backward import keys_kernel, queries_kernel
from worldmodel_kernels.segment_attention.triton_forward import forward_kernel
from worldmodel_kernels.segment_attention.types import Segments

# by bytes of a value, then by padded head dim
FORWARD = {
    2: {
        32: {"BLOCK_M": 128, "BLOCK_N": 64, "num_warps": 4, "num_stages": 3},
        64: {"BLOCK_M": 128, "BLOCK_N": 64, "num_warps": 4, "num_stages": 3},
        128: {"BLOCK_M": 128, "BLOCK_N": 64, "num_warps": 8, "num_stages": 2},
    },
    4: {
        32: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
        64: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
        128: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
    },
}
BACKWARD = {
    2: {
        32: {"BLOCK_M": 64, "BLOCK_N": 64, "num_warps": 4, "num_stages": 2},
        64: {"BLOCK_M": 64, "BLOCK_N": 64, "num_warps": 4, "num_stages": 2},
        128: {"BLOCK_M": 64, "BLOCK_N": 64, "num_warps": 8, "num_stages": 2},
    },
    4: {
        32: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
        64: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
        128: {"BLOCK_M": 32, "BLOCK_N": 32, "num_warps": 4, "num_stages": 2},
    },
}


def forward(q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, segments: Segments) -> None:
    """Writes `out`, and the log-sum-exp of scores in base 2, for rows that are in a segment.

    All but `lse`, fp32 [h n] and contiguous, are [n h e] of any strides but the last's, which is 1.
    """
    blocks = FORWARD[q.itemsize][padded(q.shape[2])]
    tiles = segments.count * q.shape[1] * triton.cdiv(segments.longest, blocks["BLOCK_M"])
    if tiles == 0:
        return
    with torch.cuda.device_of(q):
        forward_kernel[(tiles,)](
            q=q, k=k, v=v, out=out, lse=lse,
            **strides(q=q, k=k, v=v, out=out), **arguments(q, segments), **blocks,
        )  # fmt: skip


def backward(  # noqa: PLR0913
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
    blocks = BACKWARD[q.itemsize][padded(q.shape[2])]
    pairs = segments.count * q.shape[1]
    tiles = pairs * triton.cdiv(segments.longest, blocks["BLOCK_M"])
    if tiles == 0:
        return
    delta = torch.empty_like(lse)
    given = {"q": q, "k": k, "v": v, "gradient": gradient}
    common = {"lse": lse, "delta": delta, **given, **arguments(q, segments), **blocks}
    with torch.cuda.device_of(q):
        # first, as it writes delta
        queries_kernel[(tiles,)](out=out, dq=dq, **strides(**given, out=out, dq=dq), **common)
        tiles = pairs * triton.cdiv(segments.longest, blocks["BLOCK_N"])
        keys_kernel[(tiles,)](dk=dk, dv=dv, **strides(**given, dk=dk, dv=dv), **common)


def padded(head_dim: int) -> int:
    """Lanes of a head, a power of two."""
    return triton.next_power_of_2(head_dim)


def strides(**tensors: Tensor) -> dict[str, int]:
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
        "PRECISION": precision(),
    }


def precision() -> str:
    """Of fp32 products: what `torch.set_float32_matmul_precision` says."""
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
