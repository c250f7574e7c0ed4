"""What a benchmark of training steps measured, as numbers and tables."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.ceilings import Ceilings
from benchmarks.device import describe
from benchmarks.plots import bars
from benchmarks.results import Report, ResultTable, with_quartiles
from benchmarks.timing import Timing


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The steps of one size."""

    settings: Mapping[str, Any]
    precision: str
    num_batches: int
    clips: int
    """Over all batches."""
    flops: float
    """As MFU counts them."""
    timings: Mapping[str, Timing]
    memory: Mapping[str, int]
    """Bytes that a step takes on a GPU beside the state of all contestants."""
    failures: Mapping[str, str]
    """Why a contestant does not take part, by name."""


def report_of(
    measured: Mapping[str, Measured],
    ceilings: Mapping[str, Ceilings],
    device: torch.device,
    rounds: int,
    failures: Mapping[str, str],
) -> Report:
    """All sizes measured so far, and why the others have no result."""
    rates = {
        size: {
            name: timing.seconds.map(lambda s, n=one.clips: n / s)
            for name, timing in one.timings.items()
        }
        for size, one in measured.items()
    }
    return Report(
        bench="step",
        machine=describe(device),
        settings={"rounds": rounds, "sizes": {n: m.settings for n, m in measured.items()}},
        numbers={
            "ceilings": {name: asdict(one) for name, one in ceilings.items()},
            "sizes": {name: _numbers(one, ceilings) for name, one in measured.items()},
        },
        tables=[_table(name, one, ceilings) for name, one in measured.items()],
        draw=partial(bars, "Training step", "clips/s", rates),
        failures=failures,
    )


def _numbers(measured: Measured, ceilings: Mapping[str, Ceilings]) -> dict[str, Any]:
    first = next(iter(measured.timings.values()))
    peak = ceilings[measured.precision].matmul[measured.precision].median
    return {
        name: {
            "clock": timing.clock,
            "seconds": timing.seconds._asdict(),
            "rounds": timing.rounds,
            "clips_per_s": measured.clips / timing.seconds.median,
            "flops_per_s": measured.flops / timing.seconds.median,
            "mfu": measured.flops / timing.seconds.median / peak,
            "times_as_long_as_ours": timing.ratio_to(first)._asdict(),
            "peak_bytes_above_state": measured.memory.get(name),
        }
        for name, timing in measured.timings.items()
    }


def _table(name: str, measured: Measured, ceilings: Mapping[str, Ceilings]) -> ResultTable:
    numbers = _numbers(measured, ceilings)
    first = next(iter(measured.timings.values()))
    rows = [
        [
            contestant,
            with_quartiles(timing.seconds.map(lambda s: 1e3 * s / measured.num_batches)),
            f"{numbers[contestant]['clips_per_s']:.3g}",
            f"{numbers[contestant]['flops_per_s'] / 1e12:.3g}",
            f"{numbers[contestant]['mfu']:.0%}",
            with_quartiles(timing.ratio_to(first)),
            *([f"{measured.memory[contestant] / 1e9:.3g}"] if measured.memory else []),
        ]
        for contestant, timing in measured.timings.items()
    ]
    clock = {"gpu": "GPU", "cpu": "CPU", "wall": "wall"}[first.clock]
    return ResultTable(
        title=f"Training step: {name}, {measured.precision}",
        headings=[
            "step", f"ms of {clock} time (quartiles)", "clips/s", "TFLOP/s", "of matmul",
            "times as long as ours", *(["GB above state"] if measured.memory else []),
        ],
        rows=rows,
        notes=["same loss and gradients (checked)", *ceilings[measured.precision].lines],
    )  # fmt: skip
