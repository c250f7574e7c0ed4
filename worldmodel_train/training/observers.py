"""What watches a run: reports, pictures and checkpoints, in the order in which they must run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from lightning.pytorch import Callback

from worldmodel_train.training.checkpoint import CheckpointFolder
from worldmodel_train.training.parts import PretrainParts
from worldmodel_train.training.pictures import Pictures
from worldmodel_train.training.progress import ProgressView, open_view
from worldmodel_train.training.reporter import Reporter
from worldmodel_train.training.saver import Saver
from worldmodel_train.training.sinks import MetricsFile, Sink, TensorBoard
from worldmodel_train.training.terminal import terminal
from worldmodel_train.training.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Observers:
    """The callbacks of a run."""

    reporter: Reporter
    pictures: Pictures | None
    saver: Saver

    @property
    def callbacks(self) -> list[Callback]:
        """Reporter and its guard first, saver last: nothing is saved that the guard refused."""
        middle = [self.pictures] if self.pictures is not None else []
        return [self.reporter, *middle, self.saver]


@contextmanager
def observe(
    parts: PretrainParts, watch: Watch, *, first_step: int, is_first_rank: bool
) -> Iterator[Observers]:
    """The observers, closed at the end; other ranks than the first have no files and no view."""
    with ExitStack() as stack:
        if is_first_rank:
            reporter, pictures = _first_rank(parts, watch, first_step, stack)
        else:
            reporter, pictures = _reporter(parts, watch, view=None, sinks=()), None
        yield Observers(reporter=reporter, pictures=pictures, saver=_saver(parts, watch))


def _first_rank(
    parts: PretrainParts, watch: Watch, first_step: int, stack: ExitStack
) -> tuple[Reporter, Pictures | None]:
    pictures = None
    board = TensorBoard(parts.run_dir, first_step=first_step)
    stack.callback(board.close)
    if parts.load_pictures is not None and parts.log.image_every is not None:
        pictures = Pictures(
            parts.load_pictures(),
            every_steps=parts.log.image_every,
            writer=board.writer,
            clock=watch.clock,
        )
    metrics = MetricsFile(parts.run_dir, first_step=first_step)
    view = open_view(terminal(), first_step=first_step, steps=parts.train.steps)
    stack.callback(view.close)
    return _reporter(parts, watch, view=view, sinks=(metrics, board)), pictures


def _reporter(
    parts: PretrainParts, watch: Watch, *, view: ProgressView | None, sinks: Sequence[Sink]
) -> Reporter:
    return Reporter(watch, ledger=parts.ledger, view=view, sinks=sinks)


def _saver(parts: PretrainParts, watch: Watch) -> Saver:
    return Saver(
        config=parts.checkpoint,
        folder=CheckpointFolder(parts.run_dir),
        recipe_yaml=parts.recipe_yaml,
        global_batch=parts.train.global_batch,
        watch=watch,
    )
