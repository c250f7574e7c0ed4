"""What the observers of a run share."""

from dataclasses import dataclass

from worldmodel_train.training.clock import Clock
from worldmodel_train.training.guard import Guard
from worldmodel_train.training.signals import StopSignals


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The guard that stops a broken run, the clock, and the signals that end one."""

    guard: Guard
    clock: Clock
    signals: StopSignals
