"""Which implementation of an op runs: Triton's, or the reference in plain PyTorch."""

import logging
import os
import shutil
from importlib.util import find_spec

import torch

CHOICES = ("auto", "triton", "reference")
TRITON_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
TRITON_IS_INSTALLED = find_spec("triton") is not None
HAS_C_COMPILER = bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))

logger = logging.getLogger("worldmodel_kernels")
_logged: set[tuple[str, str]] = set()


def use_triton(op: str, device: torch.device, unsupported: str | None) -> bool:
    """Whether Triton runs this op, as `WMT_KERNELS=auto|triton|reference` says.

    `unsupported` is why the op's Triton code cannot serve these arguments, None where it can.

    Raises:
        ValueError: WMT_KERNELS=triton where Triton cannot serve, or a choice that does not exist.
    """
    choice = _choice()
    obstacle = unsupported or _obstacle(device)
    if choice == "triton" and obstacle is not None:
        raise ValueError(
            f"WMT_KERNELS=triton, but {op} cannot use Triton: {obstacle}; use WMT_KERNELS=auto"
        )
    reason = "WMT_KERNELS=reference" if choice == "reference" else obstacle
    log_once(op, "Triton" if reason is None else f"PyTorch reference ({reason})")
    return reason is None


def wants_reference() -> bool:
    """Whether `WMT_KERNELS=reference` asks for plain PyTorch.

    Raises:
        ValueError: A choice that does not exist.
    """
    return _choice() == "reference"


@torch.compiler.assume_constant_result  # torch.compile runs it while it traces
def log_once(op: str, implementation: str, level: int = logging.INFO) -> None:
    """Logs who runs an op, the first time that it is so."""
    if (op, implementation) in _logged:
        return
    _logged.add((op, implementation))
    logger.log(level, "%s: %s", op, implementation)


def interpreting() -> bool:
    """Whether Triton runs kernels in its interpreter, on CPU tensors as well."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def unsupported_dtype(what: str, dtype: torch.dtype) -> str | None:
    """Why our Triton kernels cannot serve `what` of this dtype; None if they can."""
    if dtype not in TRITON_DTYPES:
        return f"{what} are {dtype}, not bfloat16, float16 or float32"
    if dtype == torch.bfloat16 and interpreting():
        return "bfloat16 is wrong in Triton's interpreter"
    return None


def _obstacle(device: torch.device) -> str | None:
    if not TRITON_IS_INSTALLED:
        return "triton is not installed"
    if device.type != "cuda" and not interpreting():
        return f"tensors are on {device.type}, not on CUDA"
    if torch.version.hip is not None:
        return "the kernels are made for NVIDIA's GPUs"
    if not HAS_C_COMPILER and not interpreting():
        return "Triton needs a C compiler to launch kernels; install gcc"
    return None


def _choice() -> str:
    choice = os.environ.get("WMT_KERNELS", "auto")
    if choice not in CHOICES:
        raise ValueError(f"WMT_KERNELS={choice} is none of {', '.join(CHOICES)}")
    return choice
