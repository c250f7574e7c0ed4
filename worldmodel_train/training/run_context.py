"""What a run and its callbacks share."""

from dataclasses import dataclass

from worldmodel_train.data.stream_positions import StreamPositions
from worldmodel_train.facts import EpisodeFacts
from worldmodel_train.probes.online import OnlineProbe
from worldmodel_train.training.alarms import Alarms
from worldmodel_train.training.clock import Clock
from worldmodel_train.training.collector import Collector
from worldmodel_train.training.guard import Guard
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.ranks.signals import StopSignals


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What stops a broken run, the clock, what ends a run, and what all ranks decide together."""

    guard: Guard
    alarms: Alarms
    clock: Clock
    signals: StopSignals
    agreement: Agreement
    episodes: EpisodeFacts | None
    """What the objective was told of episodes, if it learns from any."""
    streams: StreamPositions
    """How far sources that cannot seek have been read."""
    collector: Collector | None = None
    """Acts while the run trains, where the recipe says so."""
    online_probe: OnlineProbe | None = None
    """Reads labels off the latents while the run trains, where the recipe says so."""
