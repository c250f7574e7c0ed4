"""How long calls take, measured side by side.

Contestants take turns, so that whatever else the machine does meets all of them. On a GPU the time
lies between two events; on a CPU it is wall time and the CPU time of this process.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

Clock = Literal["gpu", "cpu", "wall"]
Call = Callable[[], object]

FLUSHED_BYTES = 2 << 30
"""Written on a GPU before each short call: more than its caches hold, and time enough to queue the
call, so that its launch is not measured."""


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of these values; one value has none."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper)

    def map(self, function: Callable[[float], float]) -> "Spread":
        """The spread of a growing or falling function of the values."""
        ends = sorted((function(self.lower), function(self.upper)))
        return Spread(function(self.median), ends[0], ends[1])


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one call in each round, by every clock that was read."""

    clock: Clock
    """The one that results are told by."""
    rounds: Mapping[Clock, Sequence[float]]

    @property
    def seconds(self) -> Spread:
        """Over the rounds."""
        return Spread.of(self.rounds[self.clock])

    def ratio_to(self, other: "Timing") -> Spread:
        """How many times as long this took as `other`: round by round, so that noise cancels."""
        pairs = zip(self.rounds[self.clock], other.rounds[self.clock], strict=True)
        return Spread.of([mine / theirs for mine, theirs in pairs])


def clock_for(device: torch.device) -> Clock:
    """The fairest clock: CPU time of a single thread is not stretched by other processes."""
    if device.type == "cuda":
        return "gpu"
    return "cpu" if torch.get_num_threads() == 1 else "wall"


def interleaved(
    calls: Mapping[str, Call],
    device: torch.device,
    *,
    rounds: int,
    warmup: int = 1,
    least_s: float = 0.0,
) -> dict[str, Timing]:
    """The timing of each call over `rounds` rounds; a call is repeated to fill `least_s`.

    Each round begins with another contestant, so that nobody always follows the same one.
    """
    repeats = {name: _repeats(call, device, warmup, least_s) for name, call in calls.items()}
    readings: dict[str, list[dict[Clock, float]]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            readings[name].append(_read(calls[name], device, repeats[name], cold=least_s > 0))
    clock = clock_for(device)
    return {
        name: Timing(clock=clock, rounds={one: [r[one] for r in found] for one in found[0]})
        for name, found in readings.items()
    }


def _repeats(call: Call, device: torch.device, warmup: int, least_s: float) -> int:
    """Warms up; how often to repeat the call."""
    for _ in range(warmup):
        call()
    if not least_s:
        return 1
    taken = min(_read(call, device, 1)["wall"] for _ in range(2))
    return max(1, min(1000, round(least_s / taken)))


def _read(
    call: Call, device: torch.device, repeats: int, *, cold: bool = False
) -> dict[Clock, float]:
    """Seconds of one call by each clock; `cold` empties a GPU's caches before each."""
    if device.type == "cuda":
        return _read_gpu(call, device, repeats, cold=cold)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    return {
        "wall": (time.perf_counter() - wall) / repeats,
        "cpu": (time.process_time() - cpu) / repeats,
    }


def _read_gpu(call: Call, device: torch.device, repeats: int, *, cold: bool) -> dict[Clock, float]:
    flushed = torch.empty(FLUSHED_BYTES if cold else 0, dtype=torch.uint8, device=device)
    new = lambda: torch.cuda.Event(enable_timing=True)  # noqa: E731
    events = [(new(), new()) for _ in range(repeats)]
    torch.cuda.synchronize(device)
    wall = time.perf_counter()
    for begin, end in events:
        flushed.zero_()
        begin.record()
        call()
        end.record()
    torch.cuda.synchronize(device)
    wall = (time.perf_counter() - wall) / repeats
    gpu = statistics.median(begin.elapsed_time(end) / 1e3 for begin, end in events)
    return {"gpu": gpu, "wall": wall}
