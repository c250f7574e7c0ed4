"""GPUs by name, and how fast each multiplies bf16 matrices."""

from typing import NamedTuple

from worldmodel_train.config.suggest import did_you_mean


class Gpu(NamedTuple):
    """A GPU's dense bf16 matrix products, in TFLOP/s, and where the figure comes from."""

    tflops: float
    origin: str


# Measured figures are of large products and lie below the datasheet's (989 for H100 and H200).
# Datasheet figures are dense, without the factor two of sparsity, so their floors are optimistic.
GPUS = {
    "b200": Gpu(2250, "datasheet"),
    "h200": Gpu(790, "measured"),
    "h100": Gpu(989, "datasheet, SXM"),
    "a100": Gpu(312, "datasheet"),
    "l40s": Gpu(362, "datasheet"),
    "rtx4090": Gpu(165, "datasheet"),
    "rtx3090": Gpu(71, "datasheet"),
}


def find_gpu(name: str) -> Gpu:
    """The GPU of that name."""
    gpu = GPUS.get(name.lower())
    if gpu is None:
        raise ValueError(f'--gpu: "{name}" is not in the table; {did_you_mean(name, GPUS)}')
    return gpu
