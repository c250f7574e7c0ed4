"""GPUs by name: how fast each multiplies bf16 matrices, and how much it holds."""

from typing import NamedTuple

from worldmodel_train.config.suggest import did_you_mean


class Gpu(NamedTuple):
    """A GPU's speed and memory."""

    tflops: float
    """Of dense bf16 matrix products."""
    origin: str
    """Where that figure comes from."""
    memory_gb: int
    """By the datasheet, here read as 1e9 bytes. Where it means 2^30, the difference is 7 %, about
    what CUDA's context, NCCL and gaps between tensors take."""


# Measured figures are of large products and lie below the datasheet's (989 for H100 and H200).
# Datasheet figures are dense, without the factor two of sparsity, so their floors are optimistic.
# An A100 is taken to be the one with 80 GB.
GPUS = {
    "b200": Gpu(2250, "datasheet", 180),
    "h200": Gpu(790, "measured", 141),
    "h100": Gpu(989, "datasheet, SXM", 80),
    "a100": Gpu(312, "datasheet", 80),
    "l40s": Gpu(362, "datasheet", 48),
    "rtx4090": Gpu(165, "datasheet", 24),
    "rtx3090": Gpu(71, "datasheet", 24),
}


def find_gpu(name: str) -> Gpu:
    """The GPU of that name."""
    gpu = GPUS.get(name.lower())
    if gpu is None:
        raise ValueError(f'--gpu: "{name}" is not in the table; {did_you_mean(name, GPUS)}')
    return gpu
