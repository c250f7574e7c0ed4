"""What the device can do at best: products of large matrices, and copies of large tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from benchmarks.timing import Spread, Timing, interleaved
from worldmodel_kernels.linear import linear

MATMUL_SIDES = {"cuda": (4096, 8192, 16384), "cpu": (512, 1024, 1536)}
"""The best of these counts, by `mm` or `linear`: libraries favour some sizes."""
COPY_BYTES = {"cuda": 2 << 30, "cpu": 128 << 20}


class Work(NamedTuple):
    """What an operation must at least do: operations, and bytes read and written."""

    flops: float
    bytes: float

    def plus(self, other: "Work") -> "Work":
        """Both together."""
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.bytes


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Measured in the same run as what is compared with them."""

    matmul: dict[str, Spread]
    """FLOP/s of a square product, by precision."""
    copy: Spread
    """Bytes read and written per second."""

    def floor_s(self, work: Work, precision: str) -> float:
        """The least seconds that the work takes: either ceiling may bind."""
        return max(work.flops / self.matmul[precision].median, work.bytes / self.copy.median)

    @property
    def lines(self) -> list[str]:
        """One line for each ceiling."""
        products = [
            f"matmul {precision}: {rate.median / 1e12:.4g} TFLOP/s"
            for precision, rate in self.matmul.items()
        ]
        return [*products, f"copy: {self.copy.median / 1e9:.4g} GB/s"]


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def measure_ceilings(device: torch.device, precisions: Sequence[str], *, rounds: int) -> Ceilings:
    """Both ceilings, with the number of threads and the precision flags that are set now."""
    size = COPY_BYTES[device.type]
    source = torch.ones(size, dtype=torch.uint8, device=device)
    calls = {"copy": partial(torch.empty_like(source).copy_, source)}
    for precision in precisions:
        for side in MATMUL_SIDES[device.type]:
            matrix = torch.randn(side, side, device=device).to(DTYPES[precision])
            call = partial(torch.mm, matrix, matrix, out=torch.empty_like(matrix))
            calls[f"{precision} {side}"] = call
            calls[f"{precision} {side} linear"] = partial(linear, matrix, matrix, None)
    least_s = 0.02 if device.type == "cpu" else 0.0
    timings = interleaved(calls, device, rounds=rounds, warmup=2, least_s=least_s)
    return Ceilings(
        matmul={one: _best_product(one, timings, device) for one in precisions},
        copy=timings["copy"].seconds.map(lambda s: 2.0 * size / s),
    )


def _best_product(precision: str, timings: Mapping[str, Timing], device: torch.device) -> Spread:
    """FLOP/s of the size and the library that are fastest."""
    rates = [
        timings[f"{precision} {side}{spelling}"].seconds.map(lambda s, n=side: 2.0 * n**3 / s)
        for side in MATMUL_SIDES[device.type]
        for spelling in ("", " linear")
    ]
    return max(rates, key=lambda rate: rate.median)
