"""Attention that general kernels do not serve: factorized, frame-causal, ragged."""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

from benchmarks.ceilings import Work
from benchmarks.kernel_cases.case import Bench, Case
from worldmodel_kernels.factorized_attention import space_attention, time_attention
from worldmodel_kernels.segment_attention import frame_causal_attention, ragged_attention


def factorized_case(bench: Bench, *, op: str) -> Case:
    """Space or time alone; also as attention over all tokens with a dense mask."""
    shape = bench.choose(cpu=(1, 8, 64, 6, 64), cuda=(8, 16, 256, 16, 64))
    batch, frames, places, heads, head_dim = shape
    qkv = bench.randn(batch, frames, places, 3, heads, head_dim)
    frame = torch.arange(frames * places, device=bench.device) // places
    place = torch.arange(frames * places, device=bench.device) % places
    size = f"B{batch} {frames}x{places} tokens, {heads} heads of {head_dim}"
    pairs = {
        "space_attention": places * places * frames,
        "time_attention": frames * frames * places,
        "time_attention, causal": frames * (frames + 1) // 2 * places,
    }
    masks = {
        "space_attention": frame[:, None] == frame,
        "time_attention": place[:, None] == place,
        "time_attention, causal": (place[:, None] == place) & (frame[:, None] >= frame),
    }
    calls = {
        "space_attention": lambda: space_attention(qkv),
        "time_attention": lambda: time_attention(qkv, causal=False),
        "time_attention, causal": lambda: time_attention(qkv, causal=True),
    }

    def dense() -> Tensor:
        return _dense(qkv.flatten(1, 2), masks[op]).unflatten(1, (frames, places))

    forward, backward = _work(qkv, batch * heads * head_dim * pairs[op])
    return Case(
        op=op,
        size=size,
        spellings=bench.by_choice(calls[op]) | {"dense mask": dense},
        leaves=(qkv,),
        forward=forward,
        backward=backward,
    )


def frame_causal_case(bench: Bench) -> Case:
    """V-JEPA 2-AC: a frame sees itself and the past; also with a dense mask."""
    shape = bench.choose(cpu=(1, 8, 66, 6, 64), cuda=(8, 16, 258, 16, 64))
    batch, frames, frame_tokens, heads, head_dim = shape
    qkv = bench.randn(batch, frames * frame_tokens, 3, heads, head_dim)
    frame = torch.arange(frames * frame_tokens, device=bench.device) // frame_tokens
    mask = frame[:, None] >= frame
    pairs = frame_tokens**2 * frames * (frames + 1) // 2
    forward, backward = _work(qkv, batch * heads * head_dim * pairs)

    def blocks() -> Tensor:
        queries, keys, values = qkv.unbind(2)
        return frame_causal_attention(queries, keys, values, frame_tokens)

    return Case(
        op="frame_causal_attention",
        size=f"B{batch} {frames} frames of {frame_tokens}, {heads} heads of {head_dim}",
        spellings=bench.by_choice(blocks) | {"dense mask": lambda: _dense(qkv, mask)},
        leaves=(qkv,),
        forward=forward,
        backward=backward,
    )


def ragged_case(bench: Bench) -> Case:
    """Segments of many lengths in one list; also padded to the longest, with a mask."""
    segments, shortest, longest, heads, head_dim = bench.choose(
        cpu=(8, 40, 160, 6, 64), cuda=(48, 400, 1400, 16, 64)
    )
    lengths = torch.linspace(shortest, longest, segments).long()
    starts = pad(lengths.cumsum(0), (1, -1))
    cuts = lengths.tolist()
    qkv = bench.randn(sum(cuts), 3, heads, head_dim)
    starts, lengths = starts.to(bench.device), lengths.to(bench.device)
    seen = torch.arange(longest, device=bench.device) < lengths[:, None]

    def segmented() -> Tensor:
        queries, keys, values = qkv.unbind(1)
        return ragged_attention(queries, keys, values, starts, lengths, longest)

    def padded() -> Tensor:
        rows = pad_sequence(list(qkv.split(cuts)), batch_first=True)
        return _dense(rows, seen[:, None, None])[seen]

    forward, backward = _work(qkv, heads * head_dim * sum(n * n for n in cuts))
    return Case(
        op="ragged_attention",
        size=f"{segments} segments of {shortest} to {longest}, {heads} heads of {head_dim}",
        spellings=bench.by_choice(segmented) | {"padded, with a mask": padded},
        leaves=(qkv,),
        forward=forward,
        backward=backward,
    )


def _dense(qkv: Tensor, mask: Tensor) -> Tensor:
    queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
    gathered = scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return gathered.transpose(1, 2)


def _work(qkv: Tensor, products: int) -> tuple[Work, Work]:
    """Two products forward, five backward; queries, keys, values and what is made of them move.

    Backward reads these, the output and its gradient, and writes the gradient of all three.
    """
    row = qkv.numel() // 3 * qkv.element_size()
    return Work(4.0 * products, 4.0 * row), Work(10.0 * products, 8.0 * row)
