"""Kernels against their references, what one would write without them, and the ceilings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from benchmarks.ceilings import DTYPES, Ceilings, Work, measure_ceilings
from benchmarks.device import choose_device, describe, whole_fp32
from benchmarks.kernel_cases import CASES, make_case
from benchmarks.kernel_cases.case import Bench, Case, Spelling
from benchmarks.one_by_one import in_a_line, one_by_one
from benchmarks.plots import Point, roofline
from benchmarks.results import (
    RESULTS,
    IncorrectError,
    Publication,
    Report,
    ResultTable,
    with_quartiles,
)
from benchmarks.timing import Timing, interleaved

TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 4e-2}
"""Of outputs and gradients against the reference: norm of the difference, relative."""
FORWARD, BOTH = "forward", "forward + backward"
LEAST_S = {"cuda": 0.01, "cpu": 0.05}
"""How long a measurement goes on at least; short calls are repeated."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One operation at one size in one direction."""

    op: str
    size: str
    direction: str
    work: Work
    timings: Mapping[str, Timing]


def kernels(
    *,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16; auto: bf16 on CUDA")] = "auto",
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    threads: Annotated[int, typer.Option(help="Threads of torch; 0 leaves it to torch.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    results: Annotated[Path, typer.Option(help="Folder for the files.")] = RESULTS,
) -> None:
    """Time each kernel's operation; Triton takes part on CUDA alone."""
    place = choose_device(device, threads)
    if precision == "auto":
        precision = "bf16" if place.type == "cuda" else "fp32"
    if precision not in DTYPES:
        raise ValueError(f"--precision={precision} is none of auto, {', '.join(DTYPES)}")
    bench = Bench(device=place, precision=precision)
    ceilings, report, publication = None, None, Publication(results)
    measured: list[Measured] = []
    failures: dict[str, str] = {}
    for name, found in one_by_one(_calls(bench, rounds), place, threads=threads):
        if isinstance(found, Ceilings):
            ceilings = found
        elif isinstance(found, BaseException):
            failures[name] = in_a_line(found)
        else:
            measured += found
        if ceilings is None:
            raise IncorrectError(f"the {name} of this device could not be measured")
        report = _report(measured, ceilings, bench, rounds, failures)
        publication.write(report)
    assert report is not None
    publication.finish(report)


def _calls(bench: Bench, rounds: int) -> Mapping[str, Callable[[], Ceilings | list[Measured]]]:
    """What is measured, by name; ceilings first, for nothing is told without them."""
    ceilings = partial(measure_ceilings, bench.device, [bench.precision], rounds=rounds)
    return {"ceilings": ceilings} | {
        name: partial(measure_named, name, bench, rounds) for name in CASES
    }


def measure_named(name: str, bench: Bench, rounds: int) -> list[Measured]:
    """Both directions of the case of this name."""
    return measure(make_case(name, bench), bench, rounds)


def measure(case: Case, bench: Bench, rounds: int) -> list[Measured]:
    """Both directions, after all spellings have shown that they compute the same.

    Raises:
        IncorrectError: One of them does not.
    """
    with whole_fp32():
        gradients = check(case, bench.precision)
    directions: dict[str, tuple[Work, Callable[[Spelling], object]]] = {
        FORWARD: (case.forward, _forward),
        BOTH: (case.forward.plus(case.backward), partial(_both, case.leaves, gradients)),
    }
    least_s = LEAST_S[bench.device.type]
    return [
        Measured(
            op=case.op,
            size=case.size,
            direction=direction,
            work=work,
            timings=interleaved(
                {name: partial(run, spelling) for name, spelling in case.spellings.items()},
                bench.device,
                rounds=rounds,
                least_s=least_s,
            ),
        )
        for direction, (work, run) in directions.items()
    ]


def check(case: Case, precision: str) -> Sequence[Tensor]:
    """Gradients of the outputs' shapes, with which all spellings agree.

    Raises:
        IncorrectError: Which spelling differs from the reference, in what, and by how much.
    """
    outputs = _outputs(case.spellings["reference"])
    gradients = [torch.randn_like(output) for output in outputs]
    expected = [*outputs, *torch.autograd.grad(outputs, case.leaves, gradients)]
    names = [f"output {i}" for i in range(len(outputs))]
    names += [f"gradient {i}" for i in range(len(case.leaves))]
    for name, spelling in case.spellings.items():
        outputs = _outputs(spelling)
        found = [*outputs, *torch.autograd.grad(outputs, case.leaves, gradients)]
        for what, right, one in zip(names, expected, found, strict=True):
            error = ((one.double() - right.double()).norm() / right.double().norm()).item()
            if not error <= TOLERANCE[precision]:
                raise IncorrectError(
                    f"{case.op} ({case.size}, {precision}): the {what} of '{name}' is off by "
                    f"{error:.1e} of the reference's norm, at most {TOLERANCE[precision]:.0e}"
                )
    return gradients


def _outputs(spelling: Spelling) -> tuple[Tensor, ...]:
    outputs = spelling()
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def _forward(spelling: Spelling) -> None:
    with torch.no_grad():
        spelling()


def _both(leaves: Sequence[Tensor], gradients: Sequence[Tensor], spelling: Spelling) -> None:
    torch.autograd.grad(_outputs(spelling), leaves, gradients)


def _report(
    measured: Sequence[Measured],
    ceilings: Ceilings,
    bench: Bench,
    rounds: int,
    failures: Mapping[str, str],
) -> Report:
    points = [
        Point(f"{one.op}, {name}\n{one.size}, {one.direction}", one.work, timing.seconds)
        for one in measured
        for name, timing in one.timings.items()
        if name == ("triton" if "triton" in one.timings else "reference")
    ]
    return Report(
        bench="kernels",
        machine=describe(bench.device),
        settings={"precision": bench.precision, "rounds": rounds},
        numbers={
            "ceilings": asdict(ceilings),
            "cases": [_numbers(one, ceilings, bench.precision) for one in measured],
        },
        tables=[_table(measured, ceilings, bench)],
        draw=partial(roofline, f"Kernels, {bench.precision}", points, ceilings, bench.precision),
        failures=failures,
    )


def _numbers(one: Measured, ceilings: Ceilings, precision: str) -> dict[str, Any]:
    floor = ceilings.floor_s(one.work, precision)
    return {
        "op": one.op, "size": one.size, "direction": one.direction,
        "flops": one.work.flops, "bytes": one.work.bytes, "floor_s": floor,
        "spellings": {
            name: {
                "clock": timing.clock,
                "seconds": timing.seconds._asdict(),
                "rounds": timing.rounds,
                "times_the_floor": timing.seconds.median / floor,
            }
            for name, timing in one.timings.items()
        },
    }  # fmt: skip


def _table(measured: Sequence[Measured], ceilings: Ceilings, bench: Bench) -> ResultTable:
    rows = []
    for one in measured:
        floor = ceilings.floor_s(one.work, bench.precision)
        rows += [
            [
                f"{one.op}, {one.size}, {one.direction}",
                name,
                with_quartiles(timing.seconds.map(lambda s: 1e3 * s)),
                f"{1e3 * floor:.3g}",
                f"{timing.seconds.median / floor:.3g}",
                f"{one.work.flops / timing.seconds.median / 1e12:.3g}",
                f"{one.work.bytes / timing.seconds.median / 1e9:.3g}",
            ]
            for name, timing in one.timings.items()
        ]
    notes = ["outputs and gradients compared with the reference", *ceilings.lines]
    if bench.device.type == "cpu":
        notes.append("Triton's kernels run on CUDA alone and were NOT measured: references only")
    return ResultTable(
        title=f"Kernels, {bench.precision}",
        headings=[
            "operation", "spelling", "ms (quartiles)", "floor, ms", "x floor", "TFLOP/s", "GB/s",
        ],
        rows=rows,
        notes=notes,
    )  # fmt: skip
