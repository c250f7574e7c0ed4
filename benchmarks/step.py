"""The training step, beside those of transformers and of the original code."""

import copy
import gc
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from torch import nn

from benchmarks.ceilings import Ceilings, measure_ceilings
from benchmarks.device import choose_device, describe, whole_fp32
from benchmarks.peers.huggingface import HuggingFaceStep
from benchmarks.peers.reference import ReferenceStep
from benchmarks.plots import bars
from benchmarks.results import (
    RESULTS,
    IncorrectError,
    Report,
    ResultTable,
    publish,
    with_quartiles,
)
from benchmarks.sizes import recipes_of
from benchmarks.timing import Timing, interleaved
from benchmarks.training_step import (
    OurStep,
    Setting,
    TrainingStep,
    comparable,
    draw_setting,
    noisy_objective,
    run_step,
)
from worldmodel_train.recipe import Recipe

OURS, OURS_COMPILED = "ours", "ours, compiled"
PROBE_TOLERANCE = 2e-5
"""Of losses in fp32, relative. Another rotation of queries and keys changes them by 2e-4."""
NORM_TOLERANCE = 2e-4
"""Of the gradients' norm in fp32, relative."""
BF16_TOLERANCE = 2e-2


class Choices(NamedTuple):
    """Who takes part."""

    peers: bool
    compiled: bool
    reference: Path | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The steps of one size."""

    setting: Setting
    timings: Mapping[str, Timing]
    memory: Mapping[str, int]
    """Bytes that a step takes on a GPU beside the state of all contestants."""


def step(  # noqa: PLR0913 - one parameter for each option of the command line
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As in wmt pretrain.")
    ] = None,
    *,
    recipe: Annotated[str, typer.Option(help="A recipe; without it, the default sizes.")] = "",
    reference: Annotated[
        Path | None, typer.Option(help="A checkout of facebookresearch/vjepa2, as a peer.")
    ] = None,
    peers: Annotated[bool, typer.Option(help="Whether transformers takes part.")] = True,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Add rows with torch.compile.")
    ] = False,
    batches: Annotated[int, typer.Option(min=1, help="Draws of masks in a measurement.")] = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    threads: Annotated[int, typer.Option(help="Threads of torch; 0 leaves it to torch.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    results: Annotated[Path, typer.Option(help="Folder for the files.")] = RESULTS,
) -> None:
    """Time a whole training step: forward, backward, optimizer, teacher."""
    place = choose_device(device, threads)
    choices = Choices(peers=peers, compiled=compiled, reference=reference)
    measured: dict[str, Measured] = {}
    ceilings: dict[str, Ceilings] = {}
    for name, read in recipes_of(recipe, overrides or [], place):
        precision = read.train.precision
        if precision not in ceilings:
            ceilings[precision] = measure_ceilings(place, [precision], rounds=rounds)
        measured[name] = measure(read, place, choices, num_batches=batches, rounds=rounds)
        gc.collect()
    publish(_report(measured, ceilings, place, rounds), results)


def measure(
    recipe: Recipe, device: torch.device, choices: Choices, *, num_batches: int, rounds: int
) -> Measured:
    """The timing of every contestant, after all have shown that they compute the same.

    Raises:
        IncorrectError: One of them does not.
    """
    recipe = comparable(recipe) if choices.peers or choices.reference else recipe
    setting = draw_setting(recipe, device, num_batches=num_batches)
    contestants = build_contestants(setting, choices)
    check(setting, contestants)
    calls = {name: partial(run_step, one, num_batches) for name, one in contestants.items()}
    timings = interleaved(calls, device, rounds=rounds, warmup=2)
    counted = calls if device.type == "cuda" else {}
    memory = {name: _peak_bytes(call, device) for name, call in counted.items()}
    return Measured(setting=setting, timings=timings, memory=memory)


def build_contestants(setting: Setting, choices: Choices) -> dict[str, TrainingStep]:
    """Everybody who takes part, by name, all with the same weights."""
    objective = noisy_objective(setting.recipe)
    ours = partial(_ours, setting, objective)
    compiled_by_recipe = setting.recipe.train.compile
    contestants: dict[str, TrainingStep] = {
        OURS_COMPILED if compiled_by_recipe else OURS: ours(compiled=compiled_by_recipe)
    }
    if choices.compiled and not compiled_by_recipe:
        contestants[OURS_COMPILED] = ours(compiled=True)
    if choices.peers:
        contestants["transformers"] = HuggingFaceStep(setting, objective, compiled=False)
        if choices.compiled:
            compiled = HuggingFaceStep(setting, objective, compiled=True)
            contestants["transformers, compiled"] = compiled
    if choices.reference is not None:
        contestants["original code"] = ReferenceStep(setting, objective, choices.reference)
    return contestants


def check(setting: Setting, contestants: Mapping[str, TrainingStep]) -> None:
    """Whether everybody has the loss and gradients of the first; weights stay as they are.

    Eager code is compared in fp32 on the probe; compiled code as it will be timed, so that nothing
    is compiled for the comparison alone.

    Raises:
        IncorrectError: Who differs, and by how much.
    """
    probe, in_bf16 = len(setting.batches), setting.recipe.train.precision == "bf16"
    expected: dict[int, tuple[float, float]] = {}
    first = next(iter(contestants.values()))
    for name, contestant in contestants.items():
        batch = 0 if "compiled" in name else probe
        if batch not in expected:
            expected[batch] = _loss_and_norm(first, batch)
        found = _loss_and_norm(contestant, batch)
        exact = batch == probe or not in_bf16
        tolerances = (PROBE_TOLERANCE, NORM_TOLERANCE) if exact else (BF16_TOLERANCE,) * 2
        for what, mine, theirs, most in zip(
            ("loss", "norm of the gradients"), expected[batch], found, tolerances, strict=True
        ):
            difference = abs(theirs - mine) / abs(mine)
            if not difference <= most:
                raise IncorrectError(
                    f"the {what} of '{name}' is {theirs:.7g}, but {mine:.7g} of "
                    f"'{next(iter(contestants))}', with the same weights, clips and masks "
                    f"(relative difference {difference:.1e}, at most {most:.0e})"
                )


def _loss_and_norm(contestant: TrainingStep, batch: int) -> tuple[float, float]:
    with whole_fp32():
        loss = contestant.forward(batch)
        loss.backward()
    gradients = [p.grad for p in contestant.trained() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    for parameter in contestant.trained():
        parameter.grad = None
    return loss.item(), norm.item()


def _ours(setting: Setting, objective: Any, *, compiled: bool) -> TrainingStep:  # noqa: ANN401
    return OurStep(setting, copy.deepcopy(objective), compiled=compiled)


def _peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _report(
    measured: Mapping[str, Measured],
    ceilings: Mapping[str, Ceilings],
    device: torch.device,
    rounds: int,
) -> Report:
    rates = {
        size: {
            name: timing.seconds.map(lambda s, n=one.setting.clips: n / s)
            for name, timing in one.timings.items()
        }
        for size, one in measured.items()
    }
    return Report(
        bench="step",
        machine=describe(device),
        settings={"rounds": rounds, "sizes": {n: _settings(m) for n, m in measured.items()}},
        numbers={
            "ceilings": {name: asdict(one) for name, one in ceilings.items()},
            "sizes": {name: _numbers(one, ceilings) for name, one in measured.items()},
        },
        tables=[_table(name, one, ceilings) for name, one in measured.items()],
        figure=bars("Training step", "clips/s", rates),
    )


def _settings(measured: Measured) -> dict[str, Any]:
    recipe = measured.setting.recipe
    return {
        "recipe": recipe.name,
        "method": recipe.method.model_dump(mode="json"),
        "micro_batch": recipe.train.micro_batch,
        "precision": recipe.train.precision,
        "activation_checkpointing": recipe.train.activation_checkpointing,
        "clips": list(measured.setting.groups[0].clips.shape),
        "tokens": [
            [list(m.context_index.shape), list(m.target_index.shape)]
            for batch in measured.setting.batches
            for m in batch.groups[0].masks
        ],
    }


def _numbers(measured: Measured, ceilings: Mapping[str, Ceilings]) -> dict[str, Any]:
    setting = measured.setting
    first = next(iter(measured.timings.values()))
    peak = ceilings[setting.recipe.train.precision].matmul[setting.recipe.train.precision].median
    return {
        name: {
            "clock": timing.clock,
            "seconds": timing.seconds._asdict(),
            "rounds": timing.rounds,
            "clips_per_s": setting.clips / timing.seconds.median,
            "flops_per_s": setting.flops / timing.seconds.median,
            "mfu": setting.flops / timing.seconds.median / peak,
            "times_as_long_as_ours": timing.ratio_to(first)._asdict(),
            "peak_bytes_above_state": measured.memory.get(name),
        }
        for name, timing in measured.timings.items()
    }


def _table(name: str, measured: Measured, ceilings: Mapping[str, Ceilings]) -> ResultTable:
    setting, numbers = measured.setting, _numbers(measured, ceilings)
    first = next(iter(measured.timings.values()))
    rows = [
        [
            contestant,
            with_quartiles(timing.seconds.map(lambda s: 1e3 * s / len(setting.batches))),
            f"{numbers[contestant]['clips_per_s']:.3g}",
            f"{numbers[contestant]['flops_per_s'] / 1e12:.3g}",
            f"{numbers[contestant]['mfu']:.0%}",
            with_quartiles(timing.ratio_to(first)),
            *([f"{measured.memory[contestant] / 1e9:.3g}"] if measured.memory else []),
        ]
        for contestant, timing in measured.timings.items()
    ]
    clock = {"gpu": "GPU", "cpu": "CPU", "wall": "wall"}[first.clock]
    precision = setting.recipe.train.precision
    return ResultTable(
        title=f"Training step: {name}, {precision}",
        headings=[
            "step", f"ms of {clock} time (quartiles)", "clips/s", "TFLOP/s", "of matmul",
            "times as long as ours", *(["GB above state"] if measured.memory else []),
        ],
        rows=rows,
        notes=["same loss and gradients (checked)", *ceilings[precision].lines],
    )  # fmt: skip
