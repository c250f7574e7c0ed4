"""What watches a run: reports, pictures and checkpoints, in the order in which they must run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from lightning.pytorch import Callback

from worldmodel_train.training.acting import Acting
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.saver import Saver
from worldmodel_train.training.checkpoints.writer import CheckpointWriter
from worldmodel_train.training.metrics.attention_watch import AttentionWatch
from worldmodel_train.training.metrics.pictures import Pictures
from worldmodel_train.training.metrics.probing import Probing
from worldmodel_train.training.metrics.profile import Profiler
from worldmodel_train.training.metrics.progress import ProgressView, open_view
from worldmodel_train.training.metrics.reporter import Reporter
from worldmodel_train.training.metrics.sinks import MetricsFile, Sink, TensorBoard
from worldmodel_train.training.metrics.terminal import terminal
from worldmodel_train.training.ranks.stall_notes import StallNotes
from worldmodel_train.training.ranks.stalls import StallWatch
from worldmodel_train.training.run_context import RunContext
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.training.strategies.processes import Processes


@dataclass(frozen=True, kw_only=True)
class RunCallbacks:
    """What Lightning calls at each step of a run."""

    profiler: Profiler | None
    probing: Probing | None
    attention: AttentionWatch
    reporter: Reporter
    pictures: Pictures | None
    acting: Acting | None
    saver: Saver

    @property
    def in_order(self) -> list[Callback]:
        """Reporter and its guard before the saver: nothing is saved that the guard refused.

        The profiler is first, so that a traced step ends with its computation. The probe and
        the watch over attention come before the reporter, which reads them.
        """
        read = (self.profiler, self.probing, self.attention, self.reporter)
        callbacks = (*read, self.pictures, self.acting, self.saver)
        return [callback for callback in callbacks if callback is not None]


@contextmanager
def run_callbacks(
    spec: RunSpec, context: RunContext, *, first_step: int, rank: int
) -> Iterator[RunCallbacks]:
    """The callbacks, closed at the end; other ranks than the first have no files and no view."""
    with ExitStack() as stack:
        stack.enter_context(_stall_watch(spec, context))
        board = None
        view, sinks, profiler = None, (), None
        if rank == 0:
            board = TensorBoard(spec.run_dir, first_step=first_step)
            stack.callback(board.close)
            sinks = (MetricsFile(spec.run_dir, first_step=first_step), board)
            view = open_view(terminal(), first_step=first_step, steps=spec.train.steps)
            stack.callback(view.close)
            profiler = _profiler(spec, context, first_step)
            if profiler is not None:
                stack.callback(profiler.close)
        reporter = _reporter(spec, context, view=view, sinks=sinks)
        yield RunCallbacks(
            profiler=profiler,
            probing=_probing(spec, context),
            attention=AttentionWatch(),
            reporter=reporter,
            pictures=_pictures(spec, context, board),
            acting=None
            if context.collector is None
            else Acting(context.collector, context, rank=rank),
            saver=_saver(spec, context, rank, reporter),
        )


def _stall_watch(spec: RunSpec, context: RunContext) -> StallWatch:
    processes = Processes.from_environment()
    notes = StallNotes(spec.run_dir, rank=processes.rank, world_size=processes.world_size)
    return StallWatch(context.clock, notes, spec.guard.stall)


def _profiler(spec: RunSpec, context: RunContext, first_step: int) -> Profiler | None:
    if spec.profile_steps is None:
        return None
    folder = spec.run_dir / "profile"
    return Profiler(spec.profile_steps, folder, context.clock, first_step=first_step)


def _probing(spec: RunSpec, context: RunContext) -> Probing | None:
    if context.online_probe is None:
        return None
    assert spec.log.online_probe is not None, "it was built because the recipe says so"
    return Probing(context.online_probe, spec.log.online_probe)


def _pictures(spec: RunSpec, context: RunContext, board: TensorBoard | None) -> Pictures | None:
    if spec.load_pictures is None or spec.log.image_every is None:
        return None
    return Pictures(
        spec.load_pictures(),
        every_steps=spec.log.image_every,
        writer=board.writer if board is not None else None,
        clock=context.clock,
    )


def _reporter(
    spec: RunSpec, context: RunContext, *, view: ProgressView | None, sinks: Sequence[Sink]
) -> Reporter:
    return Reporter(context, ledger=spec.ledger, view=view, sinks=sinks)


def _saver(spec: RunSpec, context: RunContext, rank: int, reporter: Reporter) -> Saver:
    folder = CheckpointFolder(spec.run_dir)
    return Saver(
        config=spec.checkpoint,
        folder=folder,
        writer=CheckpointWriter(folder, context.agreement, rank=rank, recipe_yaml=spec.recipe_yaml),
        global_batch=spec.train.global_batch,
        context=context,
        settle=reporter.settle,
    )
