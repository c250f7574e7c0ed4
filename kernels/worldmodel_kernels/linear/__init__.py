"""Linear maps on CPUs whose fp32 products PyTorch runs at half their rate."""

import platform
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from worldmodel_kernels.dispatch import log_once, wants_reference
from worldmodel_kernels.linear.op import onednn_linear

__all__ = ["linear"]

FEWEST_WEIGHTS = 2**15  # below, the call costs more than the faster product saves


def _mkl_is_slow() -> bool:
    """Whether this is an AMD processor with AVX-512, and PyTorch has both libraries."""
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    listed = Path("/proc/cpuinfo")
    return "AuthenticAMD" in (listed.read_text() if listed.exists() else platform.processor())


MKL_IS_SLOW = _mkl_is_slow()


def linear(
    tokens: Float[Tensor, "n c"], weight: Float[Tensor, "o c"], bias: Float[Tensor, " o"] | None
) -> Float[Tensor, "n o"]:
    """`tokens @ weight.T + bias`; in fp32 on AMD processors with AVX-512 through oneDNN.

    There PyTorch's own product (MKL) does without AVX-512 and takes twice as long. Both are exact
    products of fp32 with fp32 sums, in another order. `WMT_KERNELS=reference` keeps PyTorch's own.
    """
    if not _onednn_is_faster(tokens, weight):
        return functional.linear(tokens, weight, bias)
    log_once("linear", "oneDNN (fp32 on an AMD processor with AVX-512)")
    return onednn_linear(tokens, weight, bias)


def _onednn_is_faster(tokens: Tensor, weight: Tensor) -> bool:
    return (
        tokens.device.type == weight.device.type == "cpu"
        and tokens.dtype == weight.dtype == torch.float32
        and weight.numel() >= FEWEST_WEIGHTS
        and not torch.is_autocast_enabled("cpu")
        and MKL_IS_SLOW
        and not wants_reference()
    )
