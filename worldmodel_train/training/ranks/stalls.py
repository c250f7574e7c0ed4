"""Names a rank that waits much longer than a step takes, and what it waits for.

A thread of each rank looks at what the main thread has been doing and for how long. If the loader
of rank 3 is slow, rank 3 waits for data and all others wait for rank 3 inside a collective: rank 3
says so itself, and of the others the lowest one says who keeps them waiting (`stall_notes.py`).
"""

import logging
import threading
import time
from types import TracebackType

from pydantic import Field, PositiveFloat

from worldmodel_train.config import StrictConfig
from worldmodel_train.training.clock import Clock, Phase
from worldmodel_train.training.ranks.stall_notes import DOING, StallNotes

logger = logging.getLogger(__name__)

_PATIENCE = 10  # times as long for a start, a save and the first step, whose usual time is unknown
_LOOKS = 8  # in the time after which a stall counts as one
_MOST = 2.0  # seconds between two looks


class StallConfig(StrictConfig):
    """When a wait counts as a stall; a stall is logged and ends nothing."""

    factor: float = Field(gt=1.0, default=20.0)
    """Longer than this many median steps ..."""
    seconds: PositiveFloat = 30.0
    """... and longer than this. A start, a save and the first step have ten times as long."""


class StallWatch:
    """Looks at the clock from a thread of its own while it is entered."""

    def __init__(self, clock: Clock, notes: StallNotes, config: StallConfig) -> None:
        self._clock = clock
        self._notes = notes
        self._config = config
        self._stall: Phase | None = None
        self._speak_after = 0.0
        self._spoke = False
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)

    def __enter__(self) -> "StallWatch":
        self._notes.remove()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()
        if self._stall is not None and self._stall.ended is not None and kind is None:
            self._tell_end(self._stall)  # the run ended before the thread looked again
        self._notes.remove()

    def look(self) -> None:
        """Looks once; leaves a note at a stall, and tells of it a little later, and of its end."""
        phase = self._clock.phase
        if self._stall is not None and phase is not self._stall:
            self._tell_end(self._stall)
        waited = time.perf_counter() - phase.since
        limit = self._limit(phase)
        if waited < limit:
            return
        if self._stall is None:
            self._stall, self._spoke = phase, False
            self._notes.leave(phase.activity, waited=waited)
            # a rank that waits for data knows why; the others first read each other's notes
            self._speak_after = waited if phase.activity == "data" else waited + limit / 4
        if waited >= self._speak_after:
            self._speak_after = 2 * waited
            self._tell(phase, waited)

    def _watch(self) -> None:
        pause = min(_MOST, self._config.seconds / _LOOKS)
        while not self._left.wait(pause):
            try:
                self.look()
            except OSError as error:
                # a full disk, say: the run goes on, and will say so itself if it matters
                logger.warning("rank %d cannot leave its note: %s", self._notes.rank, error)
                self._left.wait(60.0)

    def _limit(self, phase: Phase) -> float:
        usual = self._clock.usual_step
        limit = max(self._config.seconds, self._config.factor * (usual or 0.0))
        known = usual is not None and phase.activity in ("data", "step")
        return limit if known else _PATIENCE * limit

    def _tell(self, phase: Phase, waited: float) -> None:
        if phase.activity == "data":
            self._say(phase, f"has waited {waited:.1f} s for data", self._place_in_data())
        elif self._notes.is_lowest():
            others = self._notes.others(phase.activity) if self._notes.world_size > 1 else ""
            self._say(phase, f"has been {DOING[phase.activity]} for {waited:.1f} s", others)

    def _say(self, phase: Phase, what: str, more: str) -> None:
        usual = self._clock.usual_step
        median = "" if usual is None else f" (median step {usual:.2g} s)"
        logger.warning(
            "rank %d (%s) %s after step %d%s%s",
            self._notes.rank, self._notes.node, what, phase.step, median, more and f"; {more}",
        )  # fmt: skip
        self._spoke = True

    def _place_in_data(self) -> str:
        sample = self._clock.last_sample
        return "no batch yet" if sample is None else f"its last batch began with sample {sample}"

    def _tell_end(self, stall: Phase) -> None:
        self._notes.remove()
        self._stall = None
        if self._spoke and stall.ended is not None:
            what = "got its data" if stall.activity == "data" else "went on"
            logger.warning(
                "rank %d (%s) %s after %.1f s at step %d",
                self._notes.rank, self._notes.node, what, stall.ended - stall.since, stall.step,
            )  # fmt: skip
