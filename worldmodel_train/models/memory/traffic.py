"""Bytes that a rank sends and receives in an optimizer step, by layout.

A ring over N ranks moves V (N-1)/N bytes through each rank to gather V bytes, or to scatter their
sums, and twice that to do both (NCCL's and gloo's ring algorithms).
"""

from worldmodel_train.models.memory.state import ELEMENT, FP32, Layout


def ring_bytes(size: int, world_size: int) -> float:
    """Bytes through each rank of a ring that gathers `size` bytes, or scatters their sums."""
    return size * (world_size - 1) / world_size


def step_traffic(
    trained: int,
    teacher: int,
    *,
    layout: Layout,
    world_size: int,
    micro_batches: int,
) -> float:
    """Bytes through each rank in a step of bf16 training.

    Gradients are summed in fp32. Those of ZeRO 1 and 2 reach every rank, as those of `ddp` do:
    DeepSpeed sums whole buckets, from which a rank takes its share.

    - `ddp`: gradients, summed once.
    - ZeRO 1: the same; then weights and the published target encoder, gathered.
    - ZeRO 2: the same, but gradients after each micro-batch, because a rank keeps only its share.
    - ZeRO 3: for each micro-batch, gradients, scattered; the weights once for the forward and once
      for the backward pass; the target encoder's. Its EMA needs none. That is the most: weights
      that stay gathered are not sent again.
    """
    weights, published = ELEMENT["bf16"] * trained, ELEMENT["bf16"] * teacher
    gradients = FP32 * trained
    size = {
        "ddp": 2 * gradients,
        "zero1": 2 * gradients + weights + published,
        "zero2": micro_batches * 2 * gradients + weights + published,
        "zero3": micro_batches * (gradients + 2 * weights + published),
    }[layout]
    return ring_bytes(size, world_size)
