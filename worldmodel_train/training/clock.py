"""How long steps take, and how much of it is waiting for data."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children
from multiprocessing.process import BaseProcess

from worldmodel_train.training.signals import children_left_alone
from worldmodel_train.types import VideoBatch

_LAST_WORDS = 1.0  # seconds that a loading process has to end by itself


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The speed since the last reading."""

    clips_per_s: float
    """Clips per second of all processes together."""
    step_ms: float
    data_wait: float
    """Share of the time spent waiting for the loader."""


class Clock:
    """Times the steps between two readings; saving and drawing do not count."""

    def __init__(self, global_batch: int) -> None:
        self._global_batch = global_batch
        self._waited = 0.0
        self._steps = 0
        self._since = time.perf_counter()

    def restart(self) -> None:
        """Starts the next reading now."""
        self._waited, self._steps, self._since = 0.0, 0, time.perf_counter()

    def count_step(self) -> None:
        """Counts one optimizer step."""
        self._steps += 1

    def read(self) -> Pace:
        """The pace since the last reading, and starts the next."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        steps, waited = max(self._steps, 1), self._waited
        self.restart()
        return Pace(
            clips_per_s=self._global_batch * steps / seconds,
            step_ms=1000.0 * seconds / steps,
            data_wait=min(1.0, waited / seconds),
        )

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens inside is not counted."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - start

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What happens inside is waiting for data."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._waited += time.perf_counter() - start


class TimedBatches:
    """What the Trainer iterates over: the loader's batches, with the wait for each one counted.

    Lightning keeps references to it in cycles, so `close` lets the loader go: its workers end with
    the run, and not whenever the garbage collector comes by.
    """

    def __init__(self, batches: Iterable[VideoBatch], clock: Clock) -> None:
        self._batches: Iterable[VideoBatch] | None = batches
        self._iterator: Iterator[VideoBatch] | None = None
        self._workers: list[BaseProcess] = []
        self._clock = clock

    def __iter__(self) -> Iterator[VideoBatch]:
        """The batches; Lightning asks twice, and a second start would drop what is prefetched."""
        if self._iterator is None:
            assert self._batches is not None, "iterated after close"
            before = active_children()
            with self._clock.waiting(), children_left_alone():
                self._iterator = iter(self._batches)
            self._workers = [child for child in active_children() if child not in before]
        return self

    def __next__(self) -> VideoBatch:
        """The next batch."""
        assert self._iterator is not None, "iterated after close"
        with self._clock.waiting():
            return next(self._iterator)

    def close(self) -> None:
        """Lets the loader go, and kills workers that are stuck: they do not hear SIGTERM."""
        self._batches = self._iterator = None
        for worker in self._workers:
            worker.join(timeout=_LAST_WORDS)
            if worker.is_alive():
                worker.kill()
        self._workers = []
