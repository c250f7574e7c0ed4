"""Which kernel computes attention: chosen here and named in the log, never left to chance.

`WMT_ATTENTION` is one of

- `auto`: on NVIDIA's GPUs `cudnn` where every step has sequences of one length, as the target
  encoder does, which sees whole clips; else `flash`. cuDNN is the fastest on compute capability
  9 and 10, but plans anew for each length, about a second each, and drawn masks have many.
  On other devices what PyTorch takes.
- `flash`: PyTorch's own FlashAttention. No padding, no fp32 on a GPU.
- `cudnn`: cuDNN's, for all lengths. No padding, no fp32, and not the same bits twice.
- `flash_attn`: the package of that name (`pip install worldmodel-train[flash]`). As `flash`.
- `efficient`: PyTorch's memory-efficient kernel. It serves padding and fp32.
- `math`: plain products that keep all scores: a reference.

What cannot serve a call leaves it to the next one of `auto`, and the log says why.
"""

import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from worldmodel_kernels.dispatch import log_once

Backend = Literal["flash", "cudnn", "flash_attn", "efficient", "math", "pytorch"]

CHOICES = ("auto", "flash", "cudnn", "flash_attn", "efficient", "math")
FLASH_ATTN_IS_INSTALLED = find_spec("flash_attn") is not None
HALVES = (torch.bfloat16, torch.float16)
OLDEST_CUDNN = 91501  # older ones have trouble with lengths that are no multiple of 128

_SDPA = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


class Call(NamedTuple):
    """What a kernel must be able to do."""

    device: torch.device
    dtype: torch.dtype
    head_width: int
    padded: bool
    """Whether some keys are seen by nobody."""
    one_length: bool
    """Whether all steps have sequences of this length."""
    capability: tuple[int, int] | None
    """The compute capability of a GPU of NVIDIA's, None for other devices."""

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        lengths = "of one length" if self.one_length else "whose lengths change"
        padding = ", padded" if self.padded else ""
        return f"attention over sequences {lengths}{padding}, heads of {self.head_width}, {dtype}"


@torch.compiler.assume_constant_result  # torch.compile runs it while it traces
def choose_backend(
    device: torch.device,
    dtype: torch.dtype,
    head_width: int,
    *,
    padded: bool,
    one_length: bool,
) -> Backend:
    """The backend that serves such calls, as `WMT_ATTENTION` says; logs each choice once.

    Raises:
        ValueError: A choice that does not exist, or a package that is not there.
    """
    asked = _asked()
    call = Call(device, dtype, head_width, padded, one_length, _capability(device))
    reasons: list[str] = []
    for backend in _order(asked, call):
        obstacle = _obstacle(backend, call) or _better_not(backend, asked, call)
        if obstacle is None:
            level = logging.INFO if asked in ("auto", backend) else logging.WARNING
            log_once(str(call), "; ".join([backend, *reasons]), level)
            return backend
        reasons.append(f"not {backend}: {obstacle}")
    raise AssertionError("the last backend serves everything")


def attend(
    backend: Backend,
    queries: Float[Tensor, "b h q e"],
    keys: Float[Tensor, "b h k e"],
    values: Float[Tensor, "b h k e"],
    valid: Bool[Tensor, "b k"] | None,
) -> Float[Tensor, "b h q e"]:
    """Softmax attention by this backend; PyTorch raises where the backend cannot."""
    if backend == "flash_attn":
        return _flash_attn(queries, keys, values)
    mask = None if valid is None else valid[:, None, None, :]
    if backend == "pytorch":
        return scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    with sdpa_kernel(_SDPA[backend]):
        return scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


def refuse_nondeterministic() -> None:
    """Refuses a choice of `WMT_ATTENTION` that does not give the same bits twice.

    Raises:
        ValueError: It is `cudnn`.
    """
    if _asked() == "cudnn":
        raise ValueError(
            "train.deterministic=true, but WMT_ATTENTION=cudnn does not give the same bits twice; "
            "use WMT_ATTENTION=auto"
        )


def _asked() -> str:
    asked = os.environ.get("WMT_ATTENTION", "auto")
    if asked not in CHOICES:
        raise ValueError(f"WMT_ATTENTION={asked} is none of {', '.join(CHOICES)}")
    if asked == "flash_attn" and not FLASH_ATTN_IS_INSTALLED:
        raise ValueError(
            "WMT_ATTENTION=flash_attn, but the package flash-attn is not installed; "
            "pip install 'worldmodel-train[flash]', or use WMT_ATTENTION=auto"
        )
    return asked


def _order(asked: str, call: Call) -> list[Backend]:
    """What is tried, the first one first; the last one serves everything."""
    nvidia: tuple[Backend, ...] = ("cudnn", "flash", "efficient", "math")
    others: tuple[Backend, ...] = ("pytorch",)
    order = nvidia if call.capability is not None else others
    named: list[Backend] = [backend for backend in _BACKENDS if backend == asked]
    return [*named, *(backend for backend in order if backend != asked)]


def _better_not(backend: Backend, asked: str, call: Call) -> str | None:
    """Why `auto` leaves a backend that could serve."""
    if backend != "cudnn" or asked == "cudnn":
        return None
    if not call.one_length:
        return "it plans anew for each length"
    if call.capability is not None and call.capability[0] not in (9, 10):
        return "it is faster on compute capability 9 and 10 alone"
    return None


def _obstacle(backend: Backend, call: Call) -> str | None:
    """Why a backend cannot serve this call. Stricter than PyTorch, which raises where it cannot."""
    return _BACKENDS[backend](call)


def _flash(call: Call) -> str | None:
    if call.device.type == "cpu":
        return None  # PyTorch's kernel for CPUs takes every width, dtype and mask
    return _nvidia(call) or _narrow_halves(call, widest=192)


def _cudnn(call: Call) -> str | None:
    if torch.are_deterministic_algorithms_enabled():
        return "it does not give the same bits twice"
    if call.head_width % 8:
        return f"heads of {call.head_width} are no multiple of 8"
    return _nvidia(call) or _old_cudnn() or _narrow_halves(call, widest=128)


def _flash_attn_package(call: Call) -> str | None:
    obstacle = _nvidia(call) or _narrow_halves(call, widest=256)
    if obstacle is None:
        _import_flash_attn()
    return obstacle


def _efficient(call: Call) -> str | None:
    if call.head_width % 8:
        return f"heads of {call.head_width} are no multiple of 8"
    if call.dtype == torch.float32 and call.capability is not None:
        return None
    if call.dtype not in HALVES:
        return f"heads are {call.dtype}"
    return _nvidia(call)


def _serves_everything(_call: Call) -> None:
    return None


_BACKENDS: dict[Backend, Callable[[Call], str | None]] = {
    "flash": _flash,
    "cudnn": _cudnn,
    "flash_attn": _flash_attn_package,
    "efficient": _efficient,
    "math": _serves_everything,
    "pytorch": _serves_everything,
}


def _nvidia(call: Call) -> str | None:
    if call.capability is None:
        return f"tensors are on {call.device.type}, not on a GPU of NVIDIA's"
    if call.capability < (8, 0):
        return f"compute capability {call.capability[0]}.{call.capability[1]} is below 8.0"
    return None


def _narrow_halves(call: Call, *, widest: int) -> str | None:
    if call.padded:
        return "padding needs a mask"
    if call.dtype not in HALVES:
        return f"heads are {call.dtype}, not bfloat16 or float16"
    if call.head_width > widest:
        return f"heads of {call.head_width} are wider than {widest}"
    return None


def _old_cudnn() -> str | None:
    version = torch.backends.cudnn.version()
    if version is None or version < OLDEST_CUDNN:
        return f"cuDNN {version} is older than {OLDEST_CUDNN}"
    return None


def _capability(device: torch.device) -> tuple[int, int] | None:
    if device.type != "cuda" or torch.version.hip is not None:
        return None
    return torch.cuda.get_device_capability(device)


def _import_flash_attn() -> None:
    """Makes sure that it loads; a wheel for another PyTorch does not.

    Raises:
        ValueError: It does not load.
    """
    try:
        import flash_attn  # pyright: ignore[reportMissingImports]  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"WMT_ATTENTION=flash_attn, but the package does not load: {error}; install flash-attn "
            f"built for PyTorch {torch.__version__}, or use WMT_ATTENTION=auto"
        ) from error


def _flash_attn(
    queries: Float[Tensor, "b h q e"],
    keys: Float[Tensor, "b h k e"],
    values: Float[Tensor, "b h k e"],
) -> Float[Tensor, "b h q e"]:
    from flash_attn import flash_attn_func  # pyright: ignore[reportMissingImports]

    deterministic = torch.are_deterministic_algorithms_enabled()
    heads_last = (x.transpose(1, 2) for x in (queries, keys, values))
    return flash_attn_func(*heads_last, deterministic=deterministic).transpose(1, 2)
