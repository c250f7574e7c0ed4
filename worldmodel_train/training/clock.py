"""How long steps take, and how much of it is waiting for data."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worldmodel_train.types import VideoBatch


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

    def timed(self, batches: Iterable[VideoBatch]) -> Iterator[VideoBatch]:
        """The batches, with the time waited for each one counted.

        The iterator lives in this generator alone, so that the loader's workers end with it.
        """
        iterator = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(iterator, None)
            self._waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch


class TimedBatches:
    """What the Trainer iterates over: a plain iterable, so that it changes nothing about it."""

    def __init__(self, batches: Iterable[VideoBatch], clock: Clock) -> None:
        self._batches = batches
        self._clock = clock

    def __iter__(self) -> Iterator[VideoBatch]:
        """The batches from the start."""
        return self._clock.timed(self._batches)
