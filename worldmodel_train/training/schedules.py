"""Values that change over a run, as pure functions of the step.

Convention: `at(0)` is the start of the schedule and `at(n)` its value after n steps. The
published recipes step the scheduler *before* the forward pass, so the optimizer step with index t
(t = 0, 1, ...) takes its learning rate and weight decay at `at(t + 1)`; their EMA momentum is an
iterator that starts at its first value, so it is taken at `at(t)`. `training/module.py` is the
only place that adds the one.

`stretch` lengthens a schedule past the end of the run, so that the run stops before the end value.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from worldmodel_train.config import StrictConfig

Stretch = Annotated[float, Field(ge=1.0)]


class Constant(StrictConfig):
    """The same value throughout."""

    name: Literal["constant"] = "constant"
    value: NonNegativeFloat

    def at(self, step: int, total_steps: int) -> float:
        """The constant."""
        del step, total_steps
        return self.value


class Linear(StrictConfig):
    """A straight line from `start` to `end`."""

    name: Literal["linear"] = "linear"
    start: NonNegativeFloat
    end: NonNegativeFloat
    stretch: Stretch = 1.0

    def at(self, step: int, total_steps: int) -> float:
        """The line at `step`, which reaches `end` at `stretch * total_steps`."""
        return _between(self.start, self.end, _progress(step, total_steps * self.stretch))


class Cosine(StrictConfig):
    """Half a cosine wave from `start` to `end`."""

    name: Literal["cosine"] = "cosine"
    start: NonNegativeFloat
    end: NonNegativeFloat
    stretch: Stretch = 1.0

    def at(self, step: int, total_steps: int) -> float:
        """The wave at `step`, which reaches `end` at `stretch * total_steps`."""
        return _cosine(self.start, self.end, _progress(step, total_steps * self.stretch))


class WarmupConstant(StrictConfig):
    """A line from `start` to `peak` in `warmup_steps`, then `peak`."""

    name: Literal["warmup_constant"] = "warmup_constant"
    start: NonNegativeFloat
    peak: NonNegativeFloat
    warmup_steps: NonNegativeInt

    def at(self, step: int, total_steps: int) -> float:
        """The value at `step`; the length of the run does not matter."""
        del total_steps
        return _between(self.start, self.peak, _progress(step, float(self.warmup_steps)))


class WarmupCosine(StrictConfig):
    """A line from `start` to `peak` in `warmup_steps`, then half a cosine wave to `end`."""

    name: Literal["warmup_cosine"] = "warmup_cosine"
    start: NonNegativeFloat
    peak: NonNegativeFloat
    end: NonNegativeFloat
    warmup_steps: NonNegativeInt
    stretch: Stretch = 1.0

    def at(self, step: int, total_steps: int) -> float:
        """The value at `step`, which reaches `end` at `stretch * total_steps`."""
        if step < self.warmup_steps:
            return _between(self.start, self.peak, _progress(step, float(self.warmup_steps)))
        wave_steps = total_steps * self.stretch - self.warmup_steps
        return _cosine(self.peak, self.end, _progress(step - self.warmup_steps, wave_steps))


class WarmupStableDecay(StrictConfig):
    """A line from `start` to `peak`, then `peak`, and a line to `end` in the run's last steps."""

    name: Literal["warmup_stable_decay"] = "warmup_stable_decay"
    start: NonNegativeFloat
    peak: NonNegativeFloat
    end: NonNegativeFloat
    warmup_steps: NonNegativeInt
    decay_steps: NonNegativeInt

    def at(self, step: int, total_steps: int) -> float:
        """The value at `step`, which reaches `end` at `total_steps`."""
        decayed = step - (total_steps - self.decay_steps)
        if decayed > 0:
            return _between(self.peak, self.end, _progress(decayed, float(self.decay_steps)))
        return _between(self.start, self.peak, _progress(step, float(self.warmup_steps)))


Schedule = Annotated[
    Constant | Linear | Cosine | WarmupConstant | WarmupCosine | WarmupStableDecay,
    Field(discriminator="name"),
]


def _progress(step: int, steps: float) -> float:
    """The share of `steps` that is done, between 0 and 1."""
    return min(1.0, step / steps) if steps > 0 else 1.0


def _between(start: float, end: float, progress: float) -> float:
    # Written so that progress 1 gives `end` exactly.
    return start * (1.0 - progress) + end * progress


def _cosine(start: float, end: float, progress: float) -> float:
    return _between(end, start, 0.5 * (1.0 + math.cos(math.pi * progress)))
