"""The peak speed of a device, which MFU is a share of."""

import time
from functools import cache
from itertools import count
from typing import Literal, NamedTuple

import torch

from worldmodel_train.models.linear import linear
from worldmodel_train.training.gpus import known_gpu

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_SECONDS = 0.2  # a product is repeated for so long, and the fastest one counts
_SIZES = {"cpu": 768, "cuda": 8192}  # rows of a square matrix: enough to keep all cores busy


class Peak(NamedTuple):
    """Floating point operations per second of matrix products on one device."""

    flops: float
    origin: str
    """Where the figure comes from, for the log."""


def device_peak(device: torch.device, precision: Literal["bf16", "fp32"]) -> Peak:
    """The datasheet's peak of a GPU that is known; of other devices what they reach here."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        gpu = known_gpu(name)
        if gpu is not None:
            kind = _on_cuda(precision)
            return Peak(1e12 * getattr(gpu.peaks, kind), f"the datasheet of {name}, dense {kind}")
    return _measured(device, precision)


def _on_cuda(precision: Literal["bf16", "fp32"]) -> str:
    tensor_cores = torch.get_float32_matmul_precision() != "highest"
    return "tf32" if precision == "fp32" and tensor_cores else precision


@cache
def _measured(device: torch.device, precision: Literal["bf16", "fp32"]) -> Peak:
    size = _SIZES[device.type]
    # no random numbers: the run's generators stay as they are
    matrix = torch.linspace(-1, 1, size * size, device=device).view(size, size)
    matrix = matrix.to(_DTYPES[precision])
    begin, fastest = time.perf_counter(), float("inf")
    for times in count():
        start = time.perf_counter()
        linear(matrix, matrix, None)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        end = time.perf_counter()
        # a GPU's first product loads libraries
        if times or device.type == "cpu":
            fastest = min(fastest, end - start)
        if end - begin > _SECONDS and fastest < float("inf"):
            break
    return Peak(2 * size**3 / fastest, f"the best of some products in {precision}, measured now")
