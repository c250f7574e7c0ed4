"""How long steps take, how much of it is waiting for data, and what is being done right now."""

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

_RECENT = 64  # steps whose median is the usual time of a step

Activity = Literal["starting", "data", "step", "pause"]
"""`step` computes or waits for other ranks, `pause` saves or draws."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The speed of this process since the last reading."""

    clips_per_s: float
    """Clips per second of all processes together."""
    step_ms: float
    data_wait: float
    """Share of the time spent waiting for the loader."""
    mfu: float | None = None
    """Model FLOPs utilisation: clips per second as a share of `fastest`, if that is known."""

    def values(self) -> dict[str, float]:
        """What is known of it, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(kw_only=True)
class Phase:
    """One activity without interruption; read by the thread that watches for stalls."""

    activity: Activity
    step: int
    """Optimizer steps that were done when it began."""
    since: float
    ended: float | None = None


class Clock:
    """Times the steps between two readings; saving and drawing do not count.

    `fastest` is how many clips per second all devices could train at their peak, if that is known.
    """

    def __init__(self, global_batch: int, *, fastest: float | None) -> None:
        self._global_batch = global_batch
        self._fastest = fastest
        self._waited = 0.0
        self._steps = 0
        self._since = time.perf_counter()
        self._step_since = self._since
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self.step = 0
        """Optimizer steps taken, over all starts of this run."""
        self.last_sample: int | None = None
        """Where the last batch begins in the run's order of samples."""
        self.phase = Phase(activity="starting", step=0, since=self._since)
        """What the main thread does."""

    @property
    def usual_step(self) -> float | None:
        """The median time of the last steps in seconds, None before the first has ended."""
        recent = tuple(self._recent)  # the main thread may add one meanwhile
        return statistics.median(recent) if recent else None

    def begin(self, step: int) -> None:
        """Training starts now, with `step` steps done."""
        self.step = step
        self._turn_to("step")
        self._step_since = time.perf_counter()
        self.restart()

    def restart(self) -> None:
        """Starts the next reading now."""
        self._waited, self._steps, self._since = 0.0, 0, time.perf_counter()

    def count_step(self) -> None:
        """Counts one optimizer step."""
        now = time.perf_counter()
        self._recent.append(now - self._step_since)
        self._step_since = now
        self._steps += 1
        self.step += 1

    def read(self) -> Pace:
        """The pace since the last reading, and starts the next."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        steps, waited = max(self._steps, 1), self._waited
        self.restart()
        clips_per_s = self._global_batch * steps / seconds
        return Pace(
            clips_per_s=clips_per_s,
            step_ms=1000.0 * seconds / steps,
            data_wait=min(1.0, waited / seconds),
            mfu=None if self._fastest is None else clips_per_s / self._fastest,
        )

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens inside is not counted; may be nested."""
        if self.phase.activity == "pause":
            yield
            return
        with self._doing("pause") as phase:
            yield
        seconds = _length(phase)
        self._since += seconds
        self._step_since += seconds

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What happens inside is waiting for data."""
        with self._doing("data") as phase:
            yield
        self._waited += _length(phase)

    @contextmanager
    def _doing(self, activity: Activity) -> Iterator[Phase]:
        before = self.phase.activity
        phase = self._turn_to(activity)
        try:
            yield phase
        finally:
            self._turn_to(before)

    def _turn_to(self, activity: Activity) -> Phase:
        now = time.perf_counter()
        self.phase.ended = now
        self.phase = Phase(activity=activity, step=self.step, since=now)
        return self.phase


def _length(phase: Phase) -> float:
    assert phase.ended is not None
    return phase.ended - phase.since
