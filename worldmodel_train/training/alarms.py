"""What looks wrong in a run while it can still be saved: one sentence for each, said once.

The guard ends a run that is broken; an alarm ends nothing.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import ConfigDict

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.json_text import parse_model
from worldmodel_train.training.guard import RANK, STD, AlarmName, GuardConfig, lost_variety
from worldmodel_train.training.step_metrics import StepMetrics

_DISTANCE, _NORM, _WAIT = "monitors/teacher_distance", "grad_norm", "data_wait"
_FEWEST, _RECENT = 4, 8  # readings that a sudden change is measured against
_CALM = 50  # readings without a sign of it, after which an alarm may be given again

_VARIETY_SHARE, _LOSS_SHARE = 0.4, 0.6
_FARTHEST, _COPY = 0.8, 1e-6  # of the student's norm; two draws of one network are 1.4 apart
_EXPLODED = 10.0
_STARVING = 0.3
_SPREADS = 10.0  # median absolute deviations: nearly 7 standard deviations of a Gaussian


@dataclass(kw_only=True)
class _Memory:
    """What the alarms know of earlier readings."""

    first: dict[str, float] = field(default_factory=dict[str, float])
    """Rank and spread of the first reading."""
    recent: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    best: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Of rank and spread the highest median of three readings, and the loss then."""
    in_a_row: dict[str, int] = field(default_factory=dict[str, int])
    """For each alarm the readings up to now that have had its sign."""
    quiet: dict[str, int] = field(default_factory=dict[str, int])
    """For each alarm that was given the readings for which it is not given again."""

    def usual(self, name: str) -> float | None:
        """The median of the recent readings, None while they are too few."""
        values = self.recent.get(name, [])
        return statistics.median(values) if len(values) >= _FEWEST else None

    def add(self, values: Mapping[str, float]) -> None:
        """Remembers a reading."""
        if RANK in values and not self.first:
            self.first = {name: values[name] for name in (RANK, STD)}
        for name in ("loss", _NORM, RANK, STD):
            if math.isfinite(values.get(name, math.nan)):
                self.recent[name] = [*self.recent.get(name, []), values[name]][-_RECENT:]
        for name in (RANK, STD):
            if self.recent.get(name) and self.recent.get("loss"):
                now = statistics.median(self.recent[name][-3:]), self.recent["loss"][-1]
                self.best[name] = max(self.best.get(name, now), now)


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """A sign in the readings, and in how many in a row it must be."""

    seen: Callable[[Mapping[str, float], _Memory, GuardConfig], str | None]
    readings: int
    remedy: str


def _collapse(now: Mapping[str, float], memory: _Memory, config: GuardConfig) -> str | None:
    first = memory.first
    if RANK not in now or not first or config.collapse == "ignore":
        return None
    if not lost_variety(now, first, config):
        return None
    return (
        f"the targets have collapsed: RankMe {now[RANK]:.1f} (first {first[RANK]:.1f}), "
        f"std {now[STD]:.3g} (first {first[STD]:.3g})"
    )


def _partial(now: Mapping[str, float], memory: _Memory, config: GuardConfig) -> str | None:
    if config.collapse == "ignore":
        return None
    for name, called in ((RANK, "RankMe"), (STD, "std")):
        if name in now and name in memory.best:
            best, loss = memory.best[name]
            if now[name] < _VARIETY_SHARE * best and now["loss"] < _LOSS_SHARE * loss:
                return (
                    f"the loss falls because the targets become simpler: {called} {now[name]:.3g} "
                    f"(was {best:.3g}), loss {now['loss']:.4g} (was {loss:.4g})"
                )
    return None


def _lagging(now: Mapping[str, float], memory: _Memory, config: GuardConfig) -> str | None:
    del memory, config
    distance = now.get(_DISTANCE, 0.0)
    if not distance > _FARTHEST:
        return None
    return f"the teacher lags: its weights are {distance:.0%} of the student's norm away from it"


def _copied(now: Mapping[str, float], memory: _Memory, config: GuardConfig) -> str | None:
    del memory, config
    if not (now.get(_DISTANCE, 1.0) < _COPY and now.get("lr", 0.0) > 0):
        return None
    return "the teacher is a copy of the student: nothing holds the targets back from collapse"


def _exploding(now: Mapping[str, float], memory: _Memory, config: GuardConfig) -> str | None:
    del config
    usual = memory.usual(_NORM)
    if usual is None or not now[_NORM] > _EXPLODED * usual:
        return None
    parts = {name: norm for name, norm in now.items() if name.startswith("grad_norms/")}
    most = max(parts, key=lambda name: parts[name], default=None)
    where = "" if most is None else f", most of it in {most.partition('/')[2]}"
    return f"gradients explode: norm {now[_NORM]:.3g}, lately {usual:.3g}{where}"


def _starving(now: Mapping[str, float], memory: _Memory, config: GuardConfig) -> str | None:
    del memory, config
    wait = now[_WAIT]
    if not wait > _STARVING:
        return None
    return f"the loader starves the device: {wait:.0%} of the time it waits for data"


def _spike(now: Mapping[str, float], memory: _Memory, config: GuardConfig) -> str | None:
    del config
    usual = memory.usual("loss")
    if usual is None:
        return None
    spread = statistics.median(abs(loss - usual) for loss in memory.recent["loss"])
    if not now["loss"] > usual + max(abs(usual), _SPREADS * spread):
        return None
    return f"the loss has jumped: {now['loss']:.4g}, lately {usual:.4g}"


_GO_BACK = "begin another run_dir from a checkpoint before this step (train.init)"
_RULES: dict[AlarmName, _Rule] = {
    "collapse": _Rule(
        seen=_collapse,
        readings=1,
        remedy=f"stop, and {_GO_BACK} with a slower EMA, a lower optim.lr or a stronger "
        "regulariser",
    ),
    "partial_collapse": _Rule(
        seen=_partial,
        readings=2,
        remedy="compare a probe of this checkpoint with an earlier one (wmt eval); if it is worse, "
        f"{_GO_BACK} with a slower EMA, a lower optim.lr, more masking or a stronger regulariser",
    ),
    "lagging_teacher": _Rule(
        seen=_lagging,
        readings=3,
        remedy="lower optim.ema, so that it follows, or optim.lr",
    ),
    "copied_teacher": _Rule(
        seen=_copied, readings=3, remedy="raise optim.ema: published runs use 0.99 to 1"
    ),
    "exploding_gradients": _Rule(
        seen=_exploding,
        readings=2,
        remedy="lower optim.lr, lengthen its warm-up, or set optim.clip_grad_norm",
    ),
    "starving_loader": _Rule(
        seen=_starving,
        readings=3,
        remedy="raise data.loader.workers, pack smaller videos (wmt data pack), or bring the data "
        "to a faster disk",
    ),
    "loss_spike": _Rule(
        seen=_spike,
        readings=2,
        remedy="if it does not come back, lower optim.lr or set optim.clip_grad_norm, and "
        f"{_GO_BACK}; look at what the samples of this step are",
    ),
}


class Alarms:
    """Looks at the readings. A function of them alone, so that every rank says the same."""

    def __init__(self, config: GuardConfig) -> None:
        self._config = config
        self._memory = _Memory()

    def look(self, metrics: StepMetrics) -> dict[AlarmName, str]:
        """What this reading gives reason to say, by the alarm's name.

        An alarm is given once, and again only after `_CALM` readings without its sign. One that
        the configuration silences is counted and not given. The wait for the first batch, which
        comes with the first reading, is no sign.
        """
        values = metrics.values
        started = bool(self._memory.recent)
        given: dict[AlarmName, str] = {}
        for name, rule in _RULES.items():
            waits = name == "starving_loader" and not started
            seen = None if waits else rule.seen(values, self._memory, self._config)
            if self._is_new(name, rule, seen=seen is not None):
                given[name] = f"{seen}. {rule.remedy[0].upper()}{rule.remedy[1:]}"
        self._memory.add(values)
        return {name: text for name, text in given.items() if name not in self._config.silence}

    def state(self) -> dict[str, object]:
        """What to save; plain numbers, which later readings do not change."""
        memory = self._memory
        recent = {name: list(values) for name, values in memory.recent.items()}
        return {
            "first": dict(memory.first),
            "recent": recent,
            "best": {name: list(pair) for name, pair in memory.best.items()},
            "in_a_row": dict(memory.in_a_row),
            "quiet": dict(memory.quiet),
        }

    def load(self, state: dict[str, object]) -> None:
        """Goes on from a saved state; an empty one, as older checkpoints have it, is none.

        Raises:
            ValueError: It is not one.
        """
        if not state:
            return
        place = "the checkpoint's meta.json, alarms"
        saved = parse_model(_AlarmState, json.dumps(state), place, allow_nan=True)
        self._memory = _Memory(
            first=dict(saved.first),
            recent={name: list(values) for name, values in saved.recent.items()},
            best=dict(saved.best),
            in_a_row=dict(saved.in_a_row),
            quiet=dict(saved.quiet),
        )

    def _is_new(self, name: str, rule: _Rule, *, seen: bool) -> bool:
        memory = self._memory
        memory.in_a_row[name] = memory.in_a_row.get(name, 0) + 1 if seen else 0
        enough = memory.in_a_row[name] >= rule.readings
        is_quiet = memory.quiet.get(name, 0) > 0
        if enough:
            memory.quiet[name] = _CALM
        elif is_quiet:
            memory.quiet[name] -= 1
        return enough and not is_quiet


class _AlarmState(StrictConfig):
    model_config = ConfigDict(allow_inf_nan=True)

    first: dict[str, float]
    recent: dict[str, list[float]]
    best: dict[str, tuple[float, float]]
    in_a_row: dict[str, int]
    quiet: dict[str, int]
