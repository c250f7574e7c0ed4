"""An operation that is timed: its inputs, how it can be spelled, what it must at least do."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.ceilings import DTYPES, Work

Spelling = Callable[[], Tensor | tuple[Tensor, ...]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """An operation at one size."""

    op: str
    size: str
    spellings: Mapping[str, Spelling]
    """How it can be computed, by name. `reference` is the definition; `triton`, where there is a
    GPU, our kernels; all others are what one would write without them."""
    leaves: Sequence[Tensor]
    """What gets gradients."""
    forward: Work
    backward: Work


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where and in what precision cases are made."""

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """Of inputs and weights."""
        return DTYPES[self.precision]

    def choose(self, *, cpu: tuple[int, ...], cuda: tuple[int, ...]) -> tuple[int, ...]:
        """The size for this device."""
        return cuda if self.device.type == "cuda" else cpu

    def randn(self, *shape: int, std: float = 1.0) -> Tensor:
        """A leaf of normal numbers."""
        values = torch.randn(*shape, device=self.device) * std
        return values.to(self.dtype).requires_grad_()

    def by_choice(self, call: Spelling) -> dict[str, Spelling]:
        """A public operation as the reference and, on a GPU, as Triton."""
        choices = ["reference"] + (["triton"] if self.device.type == "cuda" else [])
        return {choice: _chosen(choice, call) for choice in choices}


def _chosen(choice: str, call: Spelling) -> Spelling:
    def run() -> Tensor | tuple[Tensor, ...]:
        with _kernels(choice):
            return call()

    return run


@contextmanager
def _kernels(choice: str) -> Iterator[None]:
    before = os.environ.get("WMT_KERNELS")
    os.environ["WMT_KERNELS"] = choice
    try:
        yield
    finally:
        if before is None:
            del os.environ["WMT_KERNELS"]
        else:
            os.environ["WMT_KERNELS"] = before
