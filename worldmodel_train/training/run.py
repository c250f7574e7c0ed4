"""Runs a pretraining from its specification to its last step, or to a signal."""

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
from worldmodel_train.models.cost import StepCost
from worldmodel_train.models.frozen import fingerprints
from worldmodel_train.training.activation_checkpointing import set_activation_checkpointing
from worldmodel_train.training.alarms import Alarms
from worldmodel_train.training.callbacks import RunCallbacks, run_callbacks
from worldmodel_train.training.checkpoints.files import RECIPE, read_meta, write_text
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.init_parts import InitParts
from worldmodel_train.training.checkpoints.restore import StoredState, agree_to_begin
from worldmodel_train.training.clock import Clock
from worldmodel_train.training.compilation import choose_compilation, compile_regions
from worldmodel_train.training.config import TrainConfig
from worldmodel_train.training.contact import contact_with_others
from worldmodel_train.training.deterministic import deterministic_algorithms
from worldmodel_train.training.guard import Guard
from worldmodel_train.training.layouts.layout import Layout
from worldmodel_train.training.metrics.profile import obstacle_to_profile
from worldmodel_train.training.module import Beginning, Plan, TrainingModule
from worldmodel_train.training.peak import device_peak
from worldmodel_train.training.prefetch import on_the_way
from worldmodel_train.training.quiet import quiet_lightning, take_out_signal_handling
from worldmodel_train.training.randomness import seed_weights
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.ranks.signals import StopSignals
from worldmodel_train.training.resume import (
    find_last,
    first_weights,
    go_on,
    said,
    stored_state,
)
from worldmodel_train.training.run_context import RunContext
from worldmodel_train.training.run_lock import run_lock
from worldmodel_train.training.run_spec import RunResult, RunSpec
from worldmodel_train.training.shortages import shortages_in_words
from worldmodel_train.training.spike_gate import SpikeGate
from worldmodel_train.training.strategies.auto_checkpointing import (
    agree_on_checkpointing,
    choose_checkpointing,
)
from worldmodel_train.training.strategies.processes import Processes
from worldmodel_train.training.strategies.runtime import Runtime, accumulation
from worldmodel_train.training.strategies.strategy import (
    choose_runtime,
    refuse_to_act,
    refuse_to_pass_over,
    refuse_unsuited,
)
from worldmodel_train.training.timed_batches import TimedBatches

logger = logging.getLogger(__name__)


@quiet_lightning()
def pretrain(spec: RunSpec) -> RunResult:
    """The end of the run: its last step, or a signal before that.

    Raises:
        ValueError: Something that the user can fix. What recipe and launch tell is raised before
            weights are drawn and batches read, and so is what is found where data or other runs are
            opened to size the run.
    """
    _allow_many_files()
    train, processes = spec.train, Processes.from_environment()
    micro_batches = accumulation(train.global_batch, train.micro_batch, processes.world_size)
    runtime = choose_runtime(
        train,
        processes,
        clip=spec.optim.clipping,
        build_objective=spec.build_objective,
    )
    last = find_last(spec)
    init = train.init if last is None else None
    step = read_meta(last).step if last is not None else 0
    if last is not None and step >= train.steps:
        return _finished(spec, last)
    spec = _with_room_to_profile(spec, train.steps - step, resumed=last is not None)
    cost = spec.cost()
    checkpointing = choose_checkpointing(train, runtime, cost)
    if processes.rank == 0:
        logger.info("starting from %s", last or said(init) or f"new weights, seed {train.seed}")
    clock = Clock(train.global_batch, fastest=_fastest(cost, train, runtime))
    with (
        deterministic_algorithms(train),
        _writable_run_dir(spec, processes),
        StopSignals() as signals,
        shortages_in_words(clock),
    ):
        objective = _build_objective(spec, checkpointing, runtime, micro_batches)
        frozen, episodes = fingerprints(objective), spec.open_episodes()
        stored = None if last is None else stored_state(last, objective, frozen, episodes)
        begins = stored or first_weights(init, objective)
        streams = stored.streams if stored is not None else None
        context = RunContext(
            guard=Guard(spec.guard),
            alarms=Alarms(spec.guard),
            clock=clock,
            signals=signals,
            agreement=Agreement(train.timeout_s),
            episodes=episodes,
            streams=StreamPositions(streams),
            collector=spec.collector,
            online_probe=spec.online_probe,
        )
        if stored is not None:
            go_on(context, stored)
        module = TrainingModule(
            objective,
            _plan(spec, micro_batches),
            _beginning(runtime, begins, frozen, checkpointing, context.agreement),
            step=stored.step if stored is not None else 0,
            gate=None if spec.guard.spikes is None else SpikeGate(context.guard),
        )
        return _train(spec, module, runtime, context)


def _with_room_to_profile(spec: RunSpec, steps_left: int, *, resumed: bool) -> RunSpec:
    """The spec, without a profile where a resumed run has too few steps left for one.

    Raises:
        ValueError: A run that begins has too few steps.
    """
    if spec.profile_steps is None:
        return spec
    obstacle = obstacle_to_profile(spec.profile_steps, steps_left)
    if obstacle is None:
        return spec
    if not resumed:
        raise ValueError(obstacle)
    logger.warning("nothing is traced: %s", obstacle)
    return replace(spec, profile_steps=None)


def _fastest(cost: StepCost | None, train: TrainConfig, runtime: Runtime) -> float | None:
    """Clips per second of all devices at their peak; None where nobody knows what a clip costs."""
    if cost is None:
        return None
    flops = cost.model_flops
    peak = device_peak(runtime.device, train.precision)
    if runtime.processes.rank == 0:
        logger.info(
            "MFU counts %s GFLOP a clip, and as a device's peak %s GFLOP/s: %s",
            f"{flops / 1e9:,.1f}", f"{peak.flops / 1e9:,.0f}", peak.origin,
        )  # fmt: skip
    return runtime.processes.world_size * peak.flops / flops


def _allow_many_files() -> None:
    """Lets this process open as many files as it may: exchanges take one for each other rank."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def _writable_run_dir(spec: RunSpec, processes: Processes) -> Iterator[None]:
    """The run's directory, made and held by the first rank before anything costly happens."""
    if processes.rank != 0:
        yield
        return
    try:
        spec.run_dir.mkdir(parents=True, exist_ok=True)
        (spec.run_dir / RECIPE).touch()
    except OSError as error:
        raise ValueError(f"run_dir={spec.run_dir} cannot be written: {error}") from error
    with run_lock(spec.run_dir):
        write_text(spec.run_dir / RECIPE, spec.recipe_yaml)
        yield


def _build_objective(
    spec: RunSpec, checkpointing: CheckpointingPlan, runtime: Runtime, micro_batches: int
) -> nn.Module:
    seed_weights(spec.train.seed)
    objective = spec.build_objective()
    assert isinstance(objective, nn.Module)
    refuse_unsuited(objective, runtime.chosen, spec.train, micro_batches=micro_batches)
    if spec.guard.spikes is not None:
        refuse_to_pass_over(objective, runtime.chosen)
    if spec.collector is not None:
        refuse_to_act(runtime.chosen)
    set_activation_checkpointing(objective, checkpointing)
    if choose_compilation(spec.train.compile, objective, runtime):
        compile_regions(objective)
    return objective


def _plan(spec: RunSpec, micro_batches: int) -> Plan:
    return Plan(
        optim=spec.optim,
        steps=spec.train.steps,
        seed=spec.train.seed,
        log_every=spec.log.every_steps,
        accumulation=micro_batches,
        precision=spec.train.precision,
    )


def _beginning(
    runtime: Runtime,
    begins: StoredState | InitParts | None,
    frozen: Mapping[str, str],
    checkpointing: CheckpointingPlan,
    agreement: Agreement,
) -> Beginning:
    def fill(layout: Layout) -> None:
        agree_to_begin(None if begins is None else begins.identity, frozen, agreement)
        agree_on_checkpointing(checkpointing, agreement)
        if begins is not None:
            begins.fill(layout, agreement)

    return Beginning(shard=runtime.shard, lay_out=runtime.lay_out, fill=fill)


def _train(
    spec: RunSpec, module: TrainingModule, runtime: Runtime, context: RunContext
) -> RunResult:
    first_step, rank = module.step, runtime.processes.rank
    with run_callbacks(spec, context, first_step=first_step, rank=rank) as callbacks:
        trainer = _trainer(runtime, module, callbacks)
        with (
            contact_with_others(rank, spec.run_dir, context),
            worker_folder(),
            closing(_batches(spec, runtime, first_step, context)) as batches,
        ):
            trainer.fit(module, on_the_way(batches, runtime.device))
    result = _result(spec, module, callbacks)
    if result.stopped_by and rank == 0:
        logger.warning(
            "stopped by %s and saved at step %d of %d; the same command resumes there",
            signal.Signals(result.stopped_by).name, result.step, result.steps,
        )  # fmt: skip
    return result


def _batches(spec: RunSpec, runtime: Runtime, first_step: int, context: RunContext) -> TimedBatches:
    loader = spec.build_loader(
        rank=runtime.processes.rank,
        world_size=runtime.processes.world_size,
        first_step=first_step,
        streams=context.streams.state(),
    )
    return TimedBatches(loader, context.clock, context.signals)


def _trainer(runtime: Runtime, module: TrainingModule, callbacks: RunCallbacks) -> pl.Trainer:
    """Lightning's loop, with everything switched off that this package does itself."""
    trainer = pl.Trainer(
        accelerator=runtime.accelerator,
        devices=runtime.devices,
        num_nodes=runtime.processes.num_nodes,
        strategy=runtime.strategy,
        plugins=runtime.precision,
        max_epochs=-1,
        max_steps=module.plan.steps - module.step,
        accumulate_grad_batches=module.plan.accumulation,
        callbacks=callbacks.in_order,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    take_out_signal_handling(trainer)
    return trainer


def _result(spec: RunSpec, module: TrainingModule, callbacks: RunCallbacks) -> RunResult:
    stopped_by, steps = callbacks.saver.stopped_by, spec.train.steps
    assert module.step == steps or stopped_by, f"the loader ended at step {module.step}"
    return RunResult(
        step=module.step,
        steps=steps,
        run_dir=spec.run_dir,
        checkpoint=CheckpointFolder(spec.run_dir).last(),
        stopped_by=stopped_by,
        last_metrics=callbacks.reporter.last_metrics,
    )


def _finished(spec: RunSpec, last: Path) -> RunResult:
    step = read_meta(last).step
    logger.info("%s has finished already, at step %d", spec.run_dir, step)
    return RunResult(step=step, steps=spec.train.steps, run_dir=spec.run_dir, checkpoint=last)
