"""The operations that are timed: one function each, listed in CASES at the end.

A case makes inputs, spells the operation in several ways, and counts what it must at least do. To
add an operation, write such a function and list it.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.ceilings import DTYPES, Work
from worldmodel_kernels.tubelet_mask import PixelStatistics, TubeletSize, tubelet_mask
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD

Spelling = Callable[[], Tensor]
Place = Literal["cpu", "cuda"]


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


def make_cases(bench: Bench) -> Iterator[Case]:
    """All cases, one after the other, so that one at a time is in memory."""
    for make in CASES:
        torch.manual_seed(0)
        yield from make(bench)


def tubelet_mask_cases(bench: Bench) -> Iterator[Case]:
    """The embedding of kept tubelets; also as Conv3d over the whole clip, then gather."""
    batch, frames, side, width = bench.choose(cpu=(2, 16, 128, 384), cuda=(24, 16, 256, 1024))
    size = TubeletSize(2, 16)
    tokens = frames // size.frames * (side // size.patch) ** 2
    clips = torch.randint(
        0, 256, (batch, frames, side, side, 3), dtype=torch.uint8, device=bench.device
    )
    pixels = 3 * size.frames * size.patch**2
    weight, bias = bench.randn(width, pixels, std=0.02), bench.randn(width)
    statistics = PixelStatistics(
        *(torch.tensor(one, device=bench.device) for one in (IMAGENET_MEAN, IMAGENET_STD))
    )
    for percent in (25, 100):
        kept = tokens * percent // 100
        index = torch.rand(batch, tokens, device=bench.device).argsort(1)[:, :kept].sort(1).values

        def embed(index: Tensor = index) -> Tensor:
            return tubelet_mask(clips, index, weight, bias, statistics, size)

        def convolve(index: Tensor = index) -> Tensor:
            normal = ((clips / 255.0 - statistics.mean) / statistics.std).to(weight.dtype)
            kernel = weight.unflatten(1, (3, size.frames, size.patch, size.patch))
            stride = (size.frames, size.patch, size.patch)
            seen = functional.conv3d(normal.permute(0, 4, 1, 2, 3), kernel, bias, stride=stride)
            return _gather(seen.flatten(2).transpose(1, 2), index)

        element = weight.element_size()
        rows = batch * kept
        product = 2.0 * rows * pixels * width
        moved = rows * pixels + element * (width * pixels + rows * width)
        yield Case(
            op="tubelet_mask",
            size=f"B{batch} {frames}f {side}px d{width}, {percent} % kept",
            spellings=bench.by_choice(embed) | {"Conv3d, then gather": convolve},
            leaves=(weight, bias),
            forward=Work(product, moved),
            backward=Work(product, moved),
        )


CASES: Sequence[Callable[[Bench], Iterator[Case]]] = (tubelet_mask_cases,)


def _gather(tokens: Tensor, index: Tensor) -> Tensor:
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def _chosen(choice: str, call: Spelling) -> Spelling:
    def run() -> Tensor:
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
