"""GPUs by name: how fast each multiplies matrices, and how much it holds."""

import re
from typing import NamedTuple


class Peaks(NamedTuple):
    """TFLOP/s of dense matrix products, by datasheet."""

    bf16: float
    """On tensor cores, added up in fp32."""
    tf32: float
    """fp32 on tensor cores, where `torch.set_float32_matmul_precision` allows it."""
    fp32: float
    """On CUDA cores."""


class Gpu(NamedTuple):
    """A GPU's speed and memory."""

    tflops: float
    """Of dense bf16 matrix products, as a floor of a step's time counts them."""
    origin: str
    """Where that figure comes from."""
    memory_gb: int
    """By the datasheet, here read as 1e9 bytes. Where it means 2^30, the difference is 7 %, about
    what CUDA's context, NCCL and gaps between tensors take."""
    peaks: Peaks
    """What MFU is a share of, as is the custom: always the datasheet's."""
    device: str
    """A pattern of the names that CUDA gives the model with these peaks."""


# Measured figures are of large products and lie below the datasheet's (989 for H100 and H200).
# Datasheet figures are dense, without the factor two of sparsity, so their floors are optimistic.
# An A100 is taken to be the one with 80 GB.
#
# Peaks: NVIDIA's datasheets of HGX B200 (a share of eight), H200 (SXM), H100 (SXM), A100 and L40S;
# for GeForce the whitepapers of Ada (appendix A) and GA102 (appendix A).
GPUS = {
    "b200": Gpu(2250, "datasheet", 180, Peaks(2250, 1125, 75), r"NVIDIA B200"),
    "h200": Gpu(790, "measured", 141, Peaks(989, 495, 67), r"NVIDIA H200"),
    "h100": Gpu(989, "datasheet, SXM", 80, Peaks(989, 495, 67), r"NVIDIA H100 80GB HBM3"),
    "a100": Gpu(312, "datasheet", 80, Peaks(312, 156, 19.5), r"NVIDIA A100[- \w]*"),
    "l40s": Gpu(362, "datasheet", 48, Peaks(362, 183, 91.6), r"NVIDIA L40S"),
    "rtx4090": Gpu(165, "datasheet", 24, Peaks(165, 82.6, 82.6), r"NVIDIA GeForce RTX 4090"),
    "rtx3090": Gpu(71, "datasheet", 24, Peaks(71, 35.6, 35.6), r"NVIDIA GeForce RTX 3090"),
}


def known_gpu(device: str) -> Gpu | None:
    """The GPU that CUDA calls `device`; None for others, and for a slice of one (MIG)."""
    if "MIG" in device:
        return None
    return next((gpu for gpu in GPUS.values() if re.fullmatch(gpu.device, device)), None)
