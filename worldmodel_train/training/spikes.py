"""Steps that are not taken because their loss jumps, as the released V-JEPA 2.1 may be told to."""

import math
import statistics

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from worldmodel_train.config import StrictConfig


class SpikeConfig(StrictConfig):
    """Which steps are passed over: weights and moments stay, schedules and teachers go on.

    The host waits for the loss of every step. The released code looks at each rank's own loss; here
    the mean over ranks decides, so that all do the same.
    """

    stds: PositiveFloat
    """Passed over: a loss so many standard deviations above the mean of the latest ones."""
    window: PositiveInt = 300
    """The latest steps that were taken; nothing is passed over while there are at most half."""
    from_step: NonNegativeInt = 15_300
    """First step that may be. The released code waits for 51 epochs of 300."""
    most: PositiveInt = 10
    """Steps passed over in the whole run; one more, and the run is broken."""


class SpikeState(StrictConfig):
    """What a checkpoint keeps of it."""

    losses: tuple[float, ...] = ()
    skipped: int = Field(default=0, ge=0)


class Spikes:
    """Says whether a step is taken: a function of the losses alone."""

    def __init__(self, config: SpikeConfig) -> None:
        self._config = config
        self._losses: list[float] = []
        self.skipped = 0
        """Steps that were passed over."""

    def passes(self, loss: float, step: int) -> bool:
        """Whether the step with index `step` is taken; it is remembered if so."""
        if not math.isfinite(loss):  # that is the guard's affair
            return True
        bound = self._bound()
        if bound is not None and step >= self._config.from_step and loss > bound:
            self.skipped += 1
            return False
        self._losses = [*self._losses, loss][-self._config.window :]
        return True

    @property
    def too_many(self) -> bool:
        """Whether more were passed over than a sound run has."""
        return self.skipped > self._config.most

    def state(self) -> SpikeState:
        """What to save."""
        return SpikeState(losses=tuple(self._losses), skipped=self.skipped)

    def load(self, state: SpikeState) -> None:
        """Goes on from there."""
        self._losses, self.skipped = list(state.losses), state.skipped

    def _bound(self) -> float | None:
        if len(self._losses) <= self._config.window // 2:
            return None
        spread = statistics.pstdev(self._losses)
        return statistics.fmean(self._losses) + self._config.stds * spread
