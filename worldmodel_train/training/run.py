"""Runs a pretraining from its parts to its last step, or to a signal."""

import logging
import resource
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
from torch import nn

from worldmodel_train.data.stream_positions import StreamPositions
from worldmodel_train.data.worker_folder import worker_folder
from worldmodel_train.models.checkpointing import CheckpointingPlan
from worldmodel_train.models.frozen import fingerprints
from worldmodel_train.models.strict_state import shapes_of
from worldmodel_train.training.activation_checkpointing import set_activation_checkpointing
from worldmodel_train.training.checkpoints.files import RECIPE, read_meta, write_text
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.init_parts import InitParts
from worldmodel_train.training.checkpoints.stored import Stored, agree_to_begin
from worldmodel_train.training.clock import Clock
from worldmodel_train.training.compilation import choose_compilation, compile_regions
from worldmodel_train.training.contact import contact_with_others
from worldmodel_train.training.deterministic import deterministic_algorithms
from worldmodel_train.training.guard import Guard
from worldmodel_train.training.layouts.layout import Layout
from worldmodel_train.training.module import Beginning, Plan, TrainingModule
from worldmodel_train.training.observers import Observers, observe
from worldmodel_train.training.parts import PretrainParts, PretrainResult
from worldmodel_train.training.peak import device_peak
from worldmodel_train.training.prefetch import on_the_way
from worldmodel_train.training.quiet import quiet_lightning, take_out_signal_handling
from worldmodel_train.training.randomness import seed_weights
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.ranks.signals import StopSignals
from worldmodel_train.training.readings.profile import obstacle_to_profile
from worldmodel_train.training.run_lock import run_lock
from worldmodel_train.training.shortages import shortages_in_words
from worldmodel_train.training.start import find_last, first_weights, said
from worldmodel_train.training.strategies.auto_checkpointing import (
    agree_on_checkpointing,
    choose_checkpointing,
)
from worldmodel_train.training.strategies.places import Place, accumulation
from worldmodel_train.training.strategies.processes import Processes
from worldmodel_train.training.strategies.strategy import choose_place, refuse_unsuited
from worldmodel_train.training.timed_batches import TimedBatches
from worldmodel_train.training.watch import Watch

logger = logging.getLogger(__name__)


@quiet_lightning()
def pretrain(parts: PretrainParts) -> PretrainResult:
    """The end of the run: its last step, or a signal before that.

    Raises:
        ValueError: Something that the user can fix. What can be known before weights and data are
            loaded is raised before.
    """
    _allow_many_files()
    train, processes = parts.train, Processes.from_environment()
    micro_batches = accumulation(train.global_batch, train.micro_batch, processes.world_size)
    place = choose_place(
        train,
        processes,
        clip=parts.optim.clipping,
        build_objective=parts.build_objective,
    )
    last = find_last(parts)
    init = train.init if last is None else None
    step = read_meta(last).step if last is not None else 0
    if last is not None and step >= train.steps:
        return _finished(parts, last)
    parts = _with_room_to_profile(parts, train.steps - step, goes_on=last is not None)
    checkpointing = choose_checkpointing(train, place, parts.cost)
    if processes.rank == 0:
        logger.info("starting from %s", last or said(init) or f"new weights, seed {train.seed}")
    clock = Clock(train.global_batch, fastest=_fastest(parts, place))
    with (
        deterministic_algorithms(train),
        _place_to_write(parts, processes),
        StopSignals() as signals,
        shortages_in_words(clock),
    ):
        objective = _build_objective(parts, checkpointing, place)
        frozen = fingerprints(objective)
        goes_on = (
            None if last is None else Stored(last, shapes_of(objective.state_dict()), moments=True)
        )
        if goes_on is not None:
            goes_on.require_frozen(frozen)
        begins = goes_on or first_weights(init, objective)
        streams = goes_on.streams if goes_on is not None else None
        watch = Watch(
            guard=Guard(parts.guard),
            clock=clock,
            signals=signals,
            agreement=Agreement(train.timeout_s),
            streams=StreamPositions(streams),
        )
        if goes_on is not None:
            watch.guard.load(goes_on.watch)
        module = TrainingModule(
            objective,
            _plan(parts, micro_batches),
            _beginning(place, begins, frozen, checkpointing, watch.agreement),
            step=goes_on.step if goes_on is not None else 0,
        )
        return _train(parts, module, place, watch)


def _with_room_to_profile(parts: PretrainParts, steps_left: int, *, goes_on: bool) -> PretrainParts:
    """The parts, without a profile where a run that goes on has too few steps left for one.

    Raises:
        ValueError: A run that begins has too few steps.
    """
    if parts.profile_steps is None:
        return parts
    obstacle = obstacle_to_profile(parts.profile_steps, steps_left)
    if obstacle is None:
        return parts
    if not goes_on:
        raise ValueError(obstacle)
    logger.warning("nothing is traced: %s", obstacle)
    return replace(parts, profile_steps=None)


def _fastest(parts: PretrainParts, place: Place) -> float | None:
    """Clips per second of all devices at their peak; None where nobody knows what a clip costs."""
    if parts.cost is None:
        return None
    flops = parts.cost.model_flops
    peak = device_peak(place.device, parts.train.precision)
    if place.processes.rank == 0:
        logger.info(
            "MFU counts %s GFLOP a clip, and as a device's peak %s GFLOP/s: %s",
            f"{flops / 1e9:,.1f}", f"{peak.flops / 1e9:,.0f}", peak.origin,
        )  # fmt: skip
    return place.processes.world_size * peak.flops / flops


def _allow_many_files() -> None:
    """Lets this process open as many files as it may: exchanges take one for each other rank."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def _place_to_write(parts: PretrainParts, processes: Processes) -> Iterator[None]:
    """The run's directory, made and held by the first rank before anything costly happens."""
    if processes.rank != 0:
        yield
        return
    try:
        parts.run_dir.mkdir(parents=True, exist_ok=True)
        (parts.run_dir / RECIPE).touch()
    except OSError as error:
        raise ValueError(f"run_dir={parts.run_dir} cannot be written: {error}") from error
    with run_lock(parts.run_dir):
        write_text(parts.run_dir / RECIPE, parts.recipe_yaml)
        yield


def _build_objective(
    parts: PretrainParts, checkpointing: CheckpointingPlan, place: Place
) -> nn.Module:
    seed_weights(parts.train.seed)
    objective = parts.build_objective()
    assert isinstance(objective, nn.Module)
    refuse_unsuited(objective, place.chosen)
    set_activation_checkpointing(objective, checkpointing)
    if choose_compilation(parts.train.compile, objective, place):
        compile_regions(objective)
    return objective


def _plan(parts: PretrainParts, micro_batches: int) -> Plan:
    return Plan(
        optim=parts.optim,
        steps=parts.train.steps,
        seed=parts.train.seed,
        log_every=parts.log.every_steps,
        accumulation=micro_batches,
        precision=parts.train.precision,
    )


def _beginning(
    place: Place,
    begins: Stored | InitParts | None,
    frozen: Mapping[str, str],
    checkpointing: CheckpointingPlan,
    agreement: Agreement,
) -> Beginning:
    def fill(layout: Layout) -> None:
        agree_to_begin(None if begins is None else begins.identity, frozen, agreement)
        agree_on_checkpointing(checkpointing, agreement)
        if begins is not None:
            begins.fill(layout, agreement)

    return Beginning(shard=place.shard, lay_out=place.lay_out, fill=fill)


def _train(
    parts: PretrainParts, module: TrainingModule, place: Place, watch: Watch
) -> PretrainResult:
    first_step, rank = module.step, place.processes.rank
    with observe(parts, watch, first_step=first_step, rank=rank) as observers:
        trainer = _trainer(place, module, observers)
        with (
            contact_with_others(rank, parts.run_dir, watch),
            worker_folder(),
            closing(_batches(parts, place, first_step, watch)) as batches,
        ):
            trainer.fit(module, on_the_way(batches, place.device))
    result = _result(parts, module, observers)
    if result.stopped_by and rank == 0:
        logger.warning(
            "stopped by %s and saved at step %d of %d; the same command goes on from there",
            signal.Signals(result.stopped_by).name, result.step, result.steps,
        )  # fmt: skip
    return result


def _batches(parts: PretrainParts, place: Place, first_step: int, watch: Watch) -> TimedBatches:
    loader = parts.build_loader(
        rank=place.processes.rank,
        world_size=place.processes.world_size,
        first_step=first_step,
        streams=watch.streams.state(),
    )
    return TimedBatches(loader, watch.clock, watch.signals)


def _trainer(place: Place, module: TrainingModule, observers: Observers) -> pl.Trainer:
    """Lightning's loop, with everything switched off that this package does itself."""
    trainer = pl.Trainer(
        accelerator=place.accelerator,
        devices=place.devices,
        num_nodes=place.processes.num_nodes,
        strategy=place.strategy,
        plugins=place.precision,
        max_epochs=-1,
        max_steps=module.plan.steps - module.step,
        accumulate_grad_batches=module.plan.accumulation,
        callbacks=observers.callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    take_out_signal_handling(trainer)
    return trainer


def _result(parts: PretrainParts, module: TrainingModule, observers: Observers) -> PretrainResult:
    stopped_by, steps = observers.saver.stopped_by, parts.train.steps
    assert module.step == steps or stopped_by, f"the loader ended at step {module.step}"
    return PretrainResult(
        step=module.step,
        steps=steps,
        run_dir=parts.run_dir,
        checkpoint=CheckpointFolder(parts.run_dir).last(),
        stopped_by=stopped_by,
        last_reading=observers.reporter.last_reading,
    )


def _finished(parts: PretrainParts, last: Path) -> PretrainResult:
    step = read_meta(last).step
    logger.info("%s has finished already, at step %d", parts.run_dir, step)
    return PretrainResult(
        step=step, steps=parts.train.steps, run_dir=parts.run_dir, checkpoint=last
    )
