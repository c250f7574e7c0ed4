"""What the memory estimate says and what a step takes, for each activation checkpointing policy.

On a CPU the storages that are alive are counted, without weights; on a GPU PyTorch's
allocator says what a whole step takes at most. The estimate counts all gradients at any moment, but
they arrive as activations leave; so it is too high where weights are many and activations few.
"""

import copy
import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from benchmarks.device import choose_device, describe
from benchmarks.live_bytes import LiveBytes
from benchmarks.one_by_one import in_a_line, one_by_one
from benchmarks.plots import bars
from benchmarks.results import RESULTS, Publication, Report, ResultTable
from benchmarks.sizes import recipes_of
from benchmarks.timing import Spread
from benchmarks.training_step import (
    OurStep,
    Setting,
    draw_setting,
    mask_tokens,
    noisy_objective,
    policy_of,
    run_step,
)
from worldmodel_train.jepa.vjepa import VJepa
from worldmodel_train.models.checkpointing import POLICIES, ActivationCheckpointing
from worldmodel_train.models.memory import MicroBatch, Sharding, activation_bytes, step_memory
from worldmodel_train.recipe import Recipe
from worldmodel_train.training.activation_checkpointing import set_activation_checkpointing

FP32 = 4
TOLERANCE = {"fp32": 1e-6, "bf16": 1e-3}
"""Of loss and gradients among the policies, relative: the same is computed again."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Bytes."""

    quantity: str
    estimated: int
    measured: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One policy at one size."""

    title: str
    policy: ActivationCheckpointing
    outcome: tuple[float, float]
    """Loss, and norm of the gradients."""
    tolerance: float
    """Relative, of the outcome."""
    compared: Sequence[Compared]


def memory(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As in wmt pretrain.")
    ] = None,
    *,
    recipe: Annotated[str, typer.Option(help="A recipe; without it, the default sizes.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    results: Annotated[Path, typer.Option(help="Folder for the files.")] = RESULTS,
) -> None:
    """Compare the estimate of `wmt show --memory` with what a step takes."""
    place = choose_device(device, 0)
    calls = {
        f"{title}, {policy}": partial(measure, title, read, policy, place)
        for title, read in recipes_of(recipe, overrides or [], place)
        for policy in POLICIES
    }
    measured: list[Measured] = []
    failures: dict[str, str] = {}
    publication = Publication(results)
    for name, found in one_by_one(calls, place, threads=0):
        if isinstance(found, BaseException):
            failures[name] = in_a_line(found)
        elif problem := difference([one for one in measured if one.title == found.title], found):
            failures[name] = problem
        else:
            measured.append(found)
        publication.write(_report(measured, place, failures))
    publication.finish(_report(measured, place, failures))


def measure(
    title: str, recipe: Recipe, policy: ActivationCheckpointing, device: torch.device
) -> Measured:
    """A step of this recipe with this policy."""
    setting = _with_policy(recipe, policy, device)
    objective = _objective(setting)
    loss = _loss(setting, objective)
    loss.backward()
    gradients = [p.grad for p in objective.parameters() if p.grad is not None]
    outcome = (loss.item(), nn.utils.get_total_norm(gradients).item())
    del objective, loss, gradients
    compared = measure_cuda(setting) if device.type == "cuda" else measure_cpu(setting)
    return Measured(
        title=title,
        policy=policy,
        outcome=outcome,
        tolerance=TOLERANCE[recipe.train.precision],
        compared=compared,
    )


def difference(before: Sequence[Measured], found: Measured) -> str | None:
    """How the loss or gradients of a policy differ from those before it; None if they do not."""
    for one in before[:1]:
        for mine, theirs in zip(one.outcome, found.outcome, strict=True):
            if not abs(theirs - mine) <= found.tolerance * abs(mine):
                return (
                    f"activation_checkpointing={found.policy} computes something else: "
                    f"{theirs:.8g} in place of {mine:.8g} (loss or norm of the gradients)"
                )
    return None


def measure_cpu(setting: Setting) -> Sequence[Compared]:
    """What is kept for the backward pass, and the peak of a pass with all gradients at its end."""
    objective = _objective(setting)
    live = LiveBytes()
    live.ignore(_there_already(setting, objective))
    with live:
        loss = _loss(setting, objective)
        kept = live.now
        loss.backward()
    estimate = activation_bytes(
        setting.recipe.method.encoder, setting.recipe.method.predictor, _micro_batch(setting)
    )
    copies = _casts(setting, objective)
    policy = setting.recipe.train.activation_checkpointing
    peak = max(
        estimate.target,
        estimate.forward + (0 if policy == "selective" else copies),
        estimate.backward + (copies if policy == "none" else 0),
    )
    shared = copies if policy == "none" else 0
    gradients = FP32 * sum(p.numel() for p in objective.parameters() if p.requires_grad)
    return (
        Compared(quantity="kept", estimated=estimate.kept + shared, measured=kept),
        Compared(quantity="peak", estimated=peak + gradients, measured=live.peak),
    )


def measure_cuda(setting: Setting) -> Sequence[Compared]:
    """The most that a whole step allocates, weights, moments and teacher included."""
    gc.collect()
    before = torch.cuda.memory_allocated(setting.device)
    step = OurStep(setting, copy.deepcopy(noisy_objective(setting.recipe)), compiled=False)
    run_step(step, 1)
    torch.cuda.synchronize(setting.device)
    torch.cuda.reset_peak_memory_stats(setting.device)
    run_step(step, 1)
    torch.cuda.synchronize(setting.device)
    peak = torch.cuda.max_memory_allocated(setting.device) - before
    estimate = step_memory(
        setting.recipe.method.encoder,
        setting.recipe.method.predictor,
        _micro_batch(setting),
        Sharding(layout="ddp", world_size=1),
    )
    # the clips were there before
    return (
        Compared(
            quantity="whole step",
            estimated=estimate.total - estimate.activations.inputs,
            measured=peak,
        ),
    )


def _with_policy(recipe: Recipe, policy: ActivationCheckpointing, device: torch.device) -> Setting:
    train = recipe.train.model_copy(update={"activation_checkpointing": policy})
    return draw_setting(recipe.model_copy(update={"train": train}), device, num_batches=1)


def _objective(setting: Setting) -> VJepa:
    objective = noisy_objective(setting.recipe).to(setting.device)
    set_activation_checkpointing(objective, policy_of(setting.recipe))
    return objective


def _loss(setting: Setting, objective: VJepa) -> Tensor:
    with setting.autocast(0):
        return objective.training_losses(setting.batches[0]).total


def _micro_batch(setting: Setting) -> MicroBatch:
    group, encoder = setting.batches[0].groups[0], setting.recipe.method.encoder
    size, frames, height, width, _ = group.clips.shape
    train = setting.recipe.train
    return MicroBatch(
        clips=size,
        tokens=frames // encoder.tubelet * (height // encoder.patch) * (width // encoder.patch),
        masks=[mask_tokens(masks.context_index, masks.target_index) for masks in group.masks],
        precision=train.precision,
        checkpointing=policy_of(setting.recipe),
        on_cuda=setting.device.type == "cuda",
    )


def _there_already(setting: Setting, objective: VJepa) -> Iterator[Tensor]:
    yield from objective.buffers()
    yield from objective.parameters()
    for group in setting.groups:
        yield group.clips
        for masks in group.masks:
            yield masks.context_index
            yield masks.target_index


def _casts(setting: Setting, objective: VJepa) -> int:
    """Bytes of the bf16 copies of weights that autocast shares between passes."""
    if setting.recipe.train.precision != "bf16":
        return 0
    linear = [
        module
        for part in (objective.context_encoder, objective.predictor)
        for module in part.modules()
        if isinstance(module, nn.Linear)
    ]
    return sum(2 * p.numel() for module in linear for p in module.parameters())


def _report(
    measured: Sequence[Measured], device: torch.device, failures: Mapping[str, str]
) -> Report:
    compared: dict[str, dict[ActivationCheckpointing, Sequence[Compared]]] = {}
    for one in measured:
        compared.setdefault(one.title, {})[one.policy] = one.compared
    shown = {
        title: {
            f"{policy}, {one.quantity}, {source}": Spread.of([value / 1e6])
            for policy, quantities in policies.items()
            for one in quantities
            for source, value in (("estimated", one.estimated), ("measured", one.measured))
        }
        for title, policies in compared.items()
    }
    return Report(
        bench="memory",
        machine=describe(device),
        settings={"policies": POLICIES},
        numbers={
            title: {policy: [asdict(one) for one in found] for policy, found in policies.items()}
            for title, policies in compared.items()
        },
        tables=[_table(title, policies, device) for title, policies in compared.items()],
        draw=partial(bars, "Memory of a step", "MB", shown, colors=2),
        failures=failures,
    )


def _table(
    title: str, policies: Mapping[ActivationCheckpointing, Sequence[Compared]], device: torch.device
) -> ResultTable:
    counted = "storages alive on the CPU; kept: for the backward pass; peak: with gradients"
    if device.type == "cuda":
        counted = "torch.cuda.max_memory_allocated of a whole step, without the clips"
    return ResultTable(
        title=f"Memory: {title}",
        headings=["activation checkpointing", "what", "estimated, MB", "measured, MB", "ratio"],
        rows=[
            [
                policy,
                one.quantity,
                f"{one.estimated / 1e6:,.1f}",
                f"{one.measured / 1e6:,.1f}",
                f"{one.estimated / one.measured:.3f}",
            ]
            for policy, found in policies.items()
            for one in found
        ],
        notes=[f"measured: {counted}", "all policies have the same loss and gradients (checked)"],
    )
