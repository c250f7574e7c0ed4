"""The training step, beside those of transformers and of the original code."""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from torch import nn

from benchmarks.ceilings import Ceilings, measure_ceilings
from benchmarks.device import choose_device, whole_fp32
from benchmarks.one_by_one import in_a_line, one_by_one
from benchmarks.peers.huggingface import HuggingFaceStep
from benchmarks.peers.reference import ReferenceStep
from benchmarks.results import RESULTS, IncorrectError, Publication
from benchmarks.sizes import recipes_of
from benchmarks.step_report import Measured, report_of
from benchmarks.timing import interleaved
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
    recipes = {
        name: comparable(read) if peers or reference else read
        for name, read in recipes_of(recipe, overrides or [], place)
    }
    measured: dict[str, Measured] = {}
    ceilings: dict[str, Ceilings] = {}
    failures: dict[str, str] = {}
    publication = Publication(results)
    calls = _calls(recipes, place, choices, num_batches=batches, rounds=rounds)
    for name, found in one_by_one(calls, place, threads=threads):
        if isinstance(found, BaseException):
            if isinstance(found, ValueError) or name not in recipes:
                raise found  # the user can mend it; or no ceilings, without which nothing is told
            failures[name] = in_a_line(found)
        elif isinstance(found, Ceilings):
            ceilings[name] = found
            continue
        else:
            measured[name] = found
            failures |= {f"{one}, {name}": why for one, why in found.failures.items()}
        publication.write(report_of(measured, ceilings, place, rounds, failures))
    publication.finish(report_of(measured, ceilings, place, rounds, failures))


def _calls(
    recipes: Mapping[str, Recipe],
    device: torch.device,
    choices: Choices,
    *,
    num_batches: int,
    rounds: int,
) -> Mapping[str, Callable[[], Ceilings | Measured]]:
    """What is measured: ceilings by precision, then steps by size."""
    precisions = {read.train.precision for read in recipes.values()}
    return {one: partial(measure_ceilings, device, [one], rounds=rounds) for one in precisions} | {
        name: partial(measure, read, device, choices, num_batches=num_batches, rounds=rounds)
        for name, read in recipes.items()
    }


def measure(
    recipe: Recipe, device: torch.device, choices: Choices, *, num_batches: int, rounds: int
) -> Measured:
    """The timing of every contestant, after all have shown that they compute the same.

    Raises:
        IncorrectError: One of them does not.
    """
    setting = draw_setting(recipe, device, num_batches=num_batches)
    contestants, failures = check(setting, contestants_of(setting, choices))
    calls = {name: partial(run_step, one, num_batches) for name, one in contestants.items()}
    timings = interleaved(calls, device, rounds=rounds, warmup=2)
    counted = calls if device.type == "cuda" else {}
    memory = {name: _peak_bytes(call, device) for name, call in counted.items()}
    return Measured(
        settings=_settings(setting),
        precision=recipe.train.precision,
        num_batches=num_batches,
        clips=setting.clips,
        flops=setting.flops,
        timings=timings,
        memory=memory,
        failures=failures,
    )


def contestants_of(setting: Setting, choices: Choices) -> dict[str, Callable[[], TrainingStep]]:
    """How to build everybody who takes part, by name; all have the same weights."""
    objective = noisy_objective(setting.recipe)
    ours = partial(_ours, setting, objective)
    compiled_by_recipe = setting.recipe.train.compile is True
    contestants: dict[str, Callable[[], TrainingStep]] = {
        OURS_COMPILED if compiled_by_recipe else OURS: partial(ours, compiled=compiled_by_recipe)
    }
    if choices.compiled and not compiled_by_recipe:
        contestants[OURS_COMPILED] = partial(ours, compiled=True)
    if choices.peers:
        theirs = partial(HuggingFaceStep, setting, objective)
        contestants["transformers"] = partial(theirs, compiled=False)
        if choices.compiled:
            contestants["transformers, compiled"] = partial(theirs, compiled=True)
    if choices.reference is not None:
        reference = partial(ReferenceStep, setting, objective, choices.reference)
        contestants["original code"] = reference
    return contestants


def check(
    setting: Setting, contestants: Mapping[str, Callable[[], TrainingStep]]
) -> tuple[dict[str, TrainingStep], dict[str, str]]:
    """Who has the loss and gradients of the first, built; and who cannot run, and why.

    Eager code is compared in fp32 on the probe; compiled code as it will be timed, so that nothing
    is compiled for the comparison alone. Weights stay as they are.

    Raises:
        IncorrectError: Who differs, and by how much.
        RuntimeError: The first one cannot run.
    """
    name, build = next(iter(contestants.items()))
    able, failures = {name: build()}, {}
    expected: dict[int, tuple[float, float]] = {}
    for name, build in contestants.items():
        batch = 0 if "compiled" in name else len(setting.batches)
        if batch not in expected:
            expected[batch] = _loss_and_norm(next(iter(able.values())), batch)
        try:
            contestant = able.get(name) or build()
            found = _loss_and_norm(contestant, batch)
        except RuntimeError as error:  # of CUDA, of memory, of a compiler
            failures[name] = in_a_line(error)
            continue
        exact = batch == len(setting.batches) or setting.recipe.train.precision != "bf16"
        _compare(name, next(iter(able)), expected[batch], found, exact=exact)
        able[name] = contestant
    return able, failures


def _compare(
    name: str, first: str, expected: tuple[float, ...], found: tuple[float, ...], *, exact: bool
) -> None:
    tolerances = (PROBE_TOLERANCE, NORM_TOLERANCE) if exact else (BF16_TOLERANCE,) * 2
    for what, mine, theirs, most in zip(
        ("loss", "norm of the gradients"), expected, found, tolerances, strict=True
    ):
        difference = abs(theirs - mine) / abs(mine)
        if not difference <= most:
            raise IncorrectError(
                f"the {what} of '{name}' is {theirs:.7g}, but {mine:.7g} of '{first}', with the "
                f"same weights, clips and masks (relative difference {difference:.1e}, at most "
                f"{most:.0e})"
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


def _settings(setting: Setting) -> dict[str, Any]:
    recipe = setting.recipe
    return {
        "recipe": recipe.name,
        "method": recipe.method.model_dump(mode="json"),
        "micro_batch": recipe.train.micro_batch,
        "precision": recipe.train.precision,
        "activation_checkpointing": recipe.train.activation_checkpointing,
        "clips": list(setting.groups[0].clips.shape),
        "tokens": [
            [list(m.context_index.shape), list(m.target_index.shape)]
            for batch in setting.batches
            for m in batch.groups[0].masks
        ],
    }
