"""The loader's batches as the Trainer iterates over them, with the wait for each one counted."""

from collections.abc import Iterable, Iterator
from multiprocessing import active_children
from multiprocessing.process import BaseProcess

from worldmodel_train.batch import Batch
from worldmodel_train.training.clock import Clock
from worldmodel_train.training.ranks.signals import StopSignals, children_left_alone
from worldmodel_train.training.ranks.told_to_leave import leaving_when_told
from worldmodel_train.training.shortages import room_for_workers
from worldmodel_train.types import Content

_LAST_WORDS = 1.0  # seconds that a loading process has to end by itself


class TimedBatches:
    """What the Trainer iterates over: the loader's batches, with the wait for each one counted.

    Lightning keeps references to it in cycles, so `close` lets the loader go: its workers end with
    the run, and not whenever the garbage collector comes by.
    """

    def __init__(
        self, batches: Iterable[Batch[Content]], clock: Clock, signals: StopSignals
    ) -> None:
        self._batches: Iterable[Batch[Content]] | None = batches
        self._iterator: Iterator[Batch[Content]] | None = None
        self._workers: list[BaseProcess] = []
        self._clock = clock
        self._signals = signals

    def __iter__(self) -> Iterator[Batch[Content]]:
        """The batches; Lightning asks twice, and a second start would drop what is prefetched."""
        if self._iterator is None:
            assert self._batches is not None, "iterated after close"
            before = active_children()
            with self._clock.waiting(), children_left_alone(), room_for_workers():
                self._iterator = iter(self._batches)
            self._workers = [child for child in active_children() if child not in before]
        return self

    def __next__(self) -> Batch[Content]:
        """The next batch; raises LeftWaitingError after a signal, if none comes."""
        assert self._iterator is not None, "iterated after close"
        with self._clock.waiting(), leaving_when_told(self._signals):
            batch = next(self._iterator)
        self._clock.last_sample = batch.origin.first_sample
        return batch

    def close(self) -> None:
        """Lets the loader go, and kills workers that are stuck: they do not hear SIGTERM."""
        self._batches = self._iterator = None
        for worker in self._workers:
            worker.join(timeout=_LAST_WORDS)
            if worker.is_alive():
                worker.kill()
        self._workers = []
