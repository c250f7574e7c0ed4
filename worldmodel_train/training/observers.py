"""What watches a run: reports, pictures and checkpoints, in the order in which they must run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from lightning.pytorch import Callback

from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.saver import Saver
from worldmodel_train.training.checkpoints.writer import CheckpointWriter
from worldmodel_train.training.parts import PretrainParts
from worldmodel_train.training.ranks.stall_notes import StallNotes
from worldmodel_train.training.ranks.stalls import StallWatch
from worldmodel_train.training.readings.pictures import Pictures
from worldmodel_train.training.readings.profile import Profiler
from worldmodel_train.training.readings.progress import ProgressView, open_view
from worldmodel_train.training.readings.reporter import Reporter
from worldmodel_train.training.readings.sinks import MetricsFile, Sink, TensorBoard
from worldmodel_train.training.readings.terminal import terminal
from worldmodel_train.training.strategies.processes import Processes
from worldmodel_train.training.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Observers:
    """The callbacks of a run."""

    profiler: Profiler | None
    reporter: Reporter
    pictures: Pictures | None
    saver: Saver

    @property
    def callbacks(self) -> list[Callback]:
        """Reporter and its guard before the saver: nothing is saved that the guard refused.

        The profiler is first, so that a traced step ends with its computation.
        """
        observers = (self.profiler, self.reporter, self.pictures, self.saver)
        return [observer for observer in observers if observer is not None]


@contextmanager
def observe(
    parts: PretrainParts, watch: Watch, *, first_step: int, rank: int
) -> Iterator[Observers]:
    """The observers, closed at the end; other ranks than the first have no files and no view."""
    with ExitStack() as stack:
        stack.enter_context(_stall_watch(parts, watch))
        board = None
        view, sinks, profiler = None, (), None
        if rank == 0:
            board = TensorBoard(parts.run_dir, first_step=first_step)
            stack.callback(board.close)
            sinks = (MetricsFile(parts.run_dir, first_step=first_step), board)
            view = open_view(terminal(), first_step=first_step, steps=parts.train.steps)
            stack.callback(view.close)
            profiler = _profiler(parts, watch, first_step)
            if profiler is not None:
                stack.callback(profiler.close)
        reporter = _reporter(parts, watch, view=view, sinks=sinks)
        yield Observers(
            profiler=profiler,
            reporter=reporter,
            pictures=_pictures(parts, watch, board),
            saver=_saver(parts, watch, rank, reporter),
        )


def _stall_watch(parts: PretrainParts, watch: Watch) -> StallWatch:
    processes = Processes.from_environment()
    notes = StallNotes(parts.run_dir, rank=processes.rank, world_size=processes.world_size)
    return StallWatch(watch.clock, notes, parts.guard.stall)


def _profiler(parts: PretrainParts, watch: Watch, first_step: int) -> Profiler | None:
    if parts.profile_steps is None:
        return None
    folder = parts.run_dir / "profile"
    return Profiler(parts.profile_steps, folder, watch.clock, first_step=first_step)


def _pictures(parts: PretrainParts, watch: Watch, board: TensorBoard | None) -> Pictures | None:
    if parts.load_pictures is None or parts.log.image_every is None:
        return None
    return Pictures(
        parts.load_pictures(),
        every_steps=parts.log.image_every,
        writer=board.writer if board is not None else None,
        clock=watch.clock,
    )


def _reporter(
    parts: PretrainParts, watch: Watch, *, view: ProgressView | None, sinks: Sequence[Sink]
) -> Reporter:
    return Reporter(watch, ledger=parts.ledger, view=view, sinks=sinks)


def _saver(parts: PretrainParts, watch: Watch, rank: int, reporter: Reporter) -> Saver:
    folder = CheckpointFolder(parts.run_dir)
    return Saver(
        config=parts.checkpoint,
        folder=folder,
        writer=CheckpointWriter(folder, watch.agreement, rank=rank, recipe_yaml=parts.recipe_yaml),
        global_batch=parts.train.global_batch,
        watch=watch,
        settle=reporter.settle,
    )
