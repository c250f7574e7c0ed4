"""Bytes of a model's state on one GPU: weights, gradients, moments and teacher, by layout.

`ddp` holds fp32 weights on every GPU; bf16 is autocast, which keeps a bf16 copy of each matrix from
the forward to the backward pass. ZeRO holds weights in the model's precision, and fp32 masters and
an fp32 teacher that are split among the GPUs; stage 2 splits the gradients as well, stage 3 the
weights (ZeRO, arXiv 1910.02054).
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

Layout = Literal["ddp", "zero1", "zero2", "zero3"]
Precision = Literal["bf16", "fp32"]

LAYOUTS: tuple[Layout, ...] = ("ddp", "zero1", "zero2", "zero3")
ELEMENT: dict[Precision, int] = {"bf16": 2, "fp32": 4}
"""Bytes of one number."""
FP32 = ELEMENT["fp32"]
MOMENTS = 2 * FP32
"""Bytes of AdamW's two moments of one parameter."""


@dataclass(frozen=True, kw_only=True)
class StateBytes:
    """What one GPU holds for the whole run, in bytes."""

    weights: int
    """Of what is trained, as the forward pass reads them."""
    casts: int
    """Autocast's bf16 copies of the weights; norms count, whose copies are not kept (< 1 %)."""
    teacher: int
    """The target encoder, as the forward pass reads it."""
    gradients: int
    optimizer: int
    """AdamW's moments and, under ZeRO, the fp32 masters."""
    ema: int
    """Under ZeRO, the fp32 shard of the teacher; `ddp` averages the teacher itself."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, part.name) for part in fields(self))

    def offloaded(self) -> "StateBytes":
        """The same with masters, moments and EMA in the host's memory."""
        return replace(self, optimizer=0, ema=0)


def state_bytes(
    trained: int,
    teacher: int,
    *,
    layout: Layout,
    world_size: int,
    precision: Precision,
    gradients: Precision = "bf16",
) -> StateBytes:
    """The state of a model with so many trained parameters and so many of a teacher.

    `gradients` is the precision that ZeRO adds gradients up in; fp32 models have fp32 gradients.
    Where ZeRO 1 adds up in fp32, DeepSpeed keeps the last micro-batch's bf16 gradients beside.
    """
    if world_size < 1:
        raise ValueError(f"a run has at least one GPU, not {world_size}")
    if layout == "ddp":
        return _replicated(trained, teacher, precision)
    weight = ELEMENT[precision]
    # a GPU's share is rounded up: the last one is padded
    shard, teacher_shard = -(-trained // world_size), -(-teacher // world_size)
    held, teacher_held = (shard, teacher_shard) if layout == "zero3" else (trained, teacher)
    summed = max(weight, ELEMENT[gradients])
    if layout == "zero1":
        summed += weight if summed > weight else 0
    return StateBytes(
        weights=weight * held,
        casts=0,
        teacher=weight * teacher_held,
        gradients=summed * (trained if layout == "zero1" else shard),
        optimizer=(FP32 + MOMENTS) * shard,
        ema=FP32 * teacher_shard,
    )


def _replicated(trained: int, teacher: int, precision: Precision) -> StateBytes:
    return StateBytes(
        weights=FP32 * trained,
        casts=ELEMENT["bf16"] * trained if precision == "bf16" else 0,
        teacher=FP32 * teacher,
        gradients=FP32 * trained,
        optimizer=MOMENTS * trained,
        ema=0,
    )
