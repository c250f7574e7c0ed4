"""Rotary positions on packed queries, keys and values."""

import torch
from torch import Tensor

from benchmarks.ceilings import Work
from benchmarks.kernel_cases.case import Bench, Case
from worldmodel_kernels.rope import rope


def rope_case(bench: Bench) -> Case:
    """One rotation of a layer; also by copies to heads first, as attention code often has it."""
    batch, tokens, heads, head_dim = bench.choose(cpu=(2, 512, 6, 64), cuda=(24, 2048, 16, 64))
    qkv = bench.randn(batch, tokens, 3, heads, head_dim)
    angles = torch.rand(1, tokens, head_dim // 2, device=bench.device) * 6.28
    cos = angles.cos().repeat_interleave(2, dim=-1)
    sin = torch.stack((-angles.sin(), angles.sin()), dim=-1).flatten(-2)

    def heads_first() -> tuple[Tensor, ...]:
        queries, keys, values = (one.contiguous() for one in qkv.permute(2, 0, 3, 1, 4))
        turned = (_turn(one.float(), cos, sin).to(qkv.dtype) for one in (queries, keys))
        return tuple(one.transpose(1, 2) for one in (*turned, values))

    numbers = qkv.numel()
    work = Work(2.0 * numbers, 2 * numbers * qkv.element_size() + 8 * tokens * head_dim)
    return Case(
        op="rope",
        size=f"B{batch} {tokens} tokens, {heads} heads of {head_dim}",
        spellings=bench.by_choice(lambda: rope(qkv, cos, sin))
        | {"heads first, then turn": heads_first},
        leaves=(qkv,),
        forward=work,
        backward=work,
    )


def _turn(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = heads.unflatten(-1, (-1, 2)).unbind(-1)
    return heads * cos + torch.stack((second, first), dim=-1).flatten(-2) * sin
