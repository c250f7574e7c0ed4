"""`train.deterministic`: the same bits from every run of a recipe on a machine, on a GPU too."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch

from worldmodel_train.models.attention_backends import refuse_nondeterministic
from worldmodel_train.training.config import TrainConfig

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_ONE_ORDER = (":4096:8", ":16:8")
"""Workspaces with which cuBLAS adds up in one order; it reads this before its first product."""


@contextmanager
def deterministic_algorithms(train: TrainConfig) -> Iterator[None]:
    """Lets PyTorch take only what gives the same bits twice, if the recipe says so.

    What has no such way raises. Our Triton kernels always give the same bits. Compiled code leaves
    out choices by timing, but may round by the sizes that a start met first: `train.compile: auto`
    does not compile then.

    Raises:
        ValueError: The environment asks for what does not give the same bits twice.
    """
    if not train.deterministic:
        yield
        return
    refuse_nondeterministic()
    with ExitStack() as undo:
        _set_cublas(undo)
        undo.callback(
            torch.use_deterministic_algorithms,
            torch.are_deterministic_algorithms_enabled(),
            warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        torch.use_deterministic_algorithms(mode=True)
        # an attribute that is made at run time
        settings, filling = torch.utils.deterministic, "fill_uninitialized_memory"
        undo.callback(partial(setattr, settings, filling, getattr(settings, filling)))
        # NaN in memory not yet written would cost bandwidth and reach the padding of flat buffers
        setattr(settings, filling, False)
        yield


def _set_cublas(undo: ExitStack) -> None:
    value = os.environ.get(_CUBLAS)
    if value is None:
        os.environ[_CUBLAS] = _ONE_ORDER[0]
        undo.callback(os.environ.pop, _CUBLAS, None)
    elif value not in _ONE_ORDER:
        raise ValueError(
            f"train.deterministic=true, but with {_CUBLAS}={value} cuBLAS adds up in any order; "
            f"unset it, or use one of {', '.join(_ONE_ORDER)}"
        )
