"""Numbers, table and words on who reached how many goals."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from scipy.stats import binomtest

from worldmodel_train.evaluation.planning.closed_loop import Attempts
from worldmodel_train.evaluation.task_result import (
    TRAINED,
    UNTRAINED,
    Column,
    Measured,
    Number,
    Row,
    Section,
    Table,
    TaskResult,
    Verdict,
    once,
)

RANDOM_ACTIONS = "random actions"
SUCCESS = "goals reached"
STEPS, MILLISECONDS = "actions to the goal", "ms an action"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What everybody did with the same goals."""

    world: str
    planner: str
    budget: int
    attempts: Mapping[str, Attempts]
    """By who tried; the trained model first."""
    kinds: Mapping[str, Bool[ndarray, "b"]]
    """Goals that are counted by themselves, too."""
    varied: Mapping[str, Mapping[str, Attempts]] = field(default_factory=dict)
    """What the trained model and rules did with as many goals of worlds that are otherwise, by what
    is changed in them."""

    @property
    def num_goals(self) -> int:
        """How many were asked for."""
        return len(self.attempts[TRAINED].arrival)


def planning_result(trial: Trial) -> TaskResult:
    """All but the pictures."""
    return TaskResult(
        measured_on=f"{trial.num_goals} goals in {trial.world}, {trial.budget} actions at most",
        caption="Goals reached by planning, and by what needs no model. Random actions and "
        "rules that take the straight way are what to beat; in the true world no prediction errs.",
        numbers=tuple(_numbers(trial)),
        verdicts=(_verdict(trial),),
        sections=(
            Section(
                title=f"Planning in {trial.world}",
                text=f"A goal is given as a picture. The model is searched for actions that lead "
                f"there ({trial.planner}), some of these are done, and it is searched again. All "
                "begin at the same places and are asked for the same goals.",
                tables=(_table(trial), *_varied_tables(trial)),
                notes=_NOTES,
            ),
        ),
    )


_NOTES = {
    "Low, high": "The 95 % interval of a share of so many independent goals (Wilson).",
    "Untrained": "The same search with the model as it was drawn, encoder and predictor.",
    "True world": "The same search in the world itself, which is told its state, for the squared "
    "distance of places. It errs in no prediction; but places are near through a wall, and latents "
    "need not be.",
    "Straight line, expert": "Rules that are told the state, where the world has them: what is "
    "straight takes the straight way, whatever is in it; an expert knows what the world's goals "
    "need. To stay, or to leave the block alone, says what goals of Push-T need no pushing.",
    "ms an action": "To choose one, for all together that have not arrived, over their number.",
}


def share_between(reached: Bool[ndarray, "b"]) -> tuple[float, float]:
    """The 95 % interval of the share, by Wilson's score; from 0 to 1 where nobody tried."""
    if not len(reached):
        return 0.0, 1.0
    interval = binomtest(int(reached.sum()), len(reached)).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _verdict(trial: Trial) -> Verdict:
    """Whether planning with the trained model is beyond what needs no training, and by how much."""
    shares = {who: float(one.reached.mean()) for who, one in trial.attempts.items()}
    low, high = share_between(trial.attempts[TRAINED].reached)
    blind = max(
        share_between(trial.attempts[who].reached)[1] for who in (UNTRAINED, RANDOM_ACTIONS)
    )
    beaten_by = [who for who, share in shares.items() if share > shares[TRAINED]]
    text = (
        f"It reaches {shares[TRAINED]:.0%} of {trial.num_goals} goals ({low:.0%} to {high:.0%}); "
        f"untrained {shares[UNTRAINED]:.0%}, random actions {shares[RANDOM_ACTIONS]:.0%}. "
        + (f"More are reached by: {', '.join(beaten_by)}." if beaten_by else "Nobody reaches more.")
    )
    if low > blind:
        return Verdict(good=True, claim="It plans.", text=text)
    return Verdict(good=False, claim="It plans no better than what has not learned.", text=text)


def _numbers(trial: Trial) -> Iterator[Number]:
    everything = np.ones(trial.num_goals, bool)
    for name, which in {"all": everything, **trial.kinds}.items():
        if which.any():
            shares = {who: _share(one, which) for who, one in trial.attempts.items()}
            yield Number(
                name=f"{SUCCESS}, {name}",
                unit="percent",
                trained=shares.pop(TRAINED),
                baselines=shares,
            )


def _share(attempts: Attempts, which: Bool[ndarray, "b"]) -> Measured:
    return once(float(attempts.reached[which].mean()))


def _table(trial: Trial) -> Table:
    kinds = {name: which for name, which in trial.kinds.items() if which.any()}
    return Table(
        caption="Who reaches goals, and at what cost",
        corner="Who",
        columns=(
            Column(name="Reached", unit="percent"),
            Column(name="low", unit="percent"),
            Column(name="high", unit="percent"),
            *(Column(name=_heading(name), unit="percent") for name in kinds),
            Column(name=_heading(STEPS)),
            Column(name=MILLISECONDS),
        ),
        rows=tuple(
            Row(
                name=_heading(who),
                cells=tuple(map(once, _cells(attempts, kinds.values()))),
                look="ours" if who == TRAINED else "plain",
            )
            for who, attempts in trial.attempts.items()
        ),
        remarks=tuple(
            f"{int(which.sum())} of the {trial.num_goals} goals are {name}."
            for name, which in kinds.items()
        ),
    )


def _varied_tables(trial: Trial) -> Iterator[Table]:
    """None where worlds do not vary."""
    if not trial.varied:
        return
    tried = tuple(next(iter(trial.varied.values())))
    as_it_was = {who: trial.attempts[who] for who in tried}
    yield Table(
        caption="Goals reached where the world is not as it was in training",
        corner="What is changed",
        columns=(
            *(Column(name=_heading(who), unit="percent") for who in tried),
            Column(name="low", unit="percent"),
            Column(name="high", unit="percent"),
        ),
        rows=tuple(
            Row(
                name=_heading(what),
                cells=tuple(map(once, _varied_cells(attempts))),
                look="ours" if attempts is as_it_was else "plain",
            )
            for what, attempts in {"nothing": as_it_was, **trial.varied}.items()
        ),
        remarks=("One thing at a time, and nothing is learned anew. Low and high: trained.",),
    )


def _varied_cells(attempts: Mapping[str, Attempts]) -> Iterator[float]:
    for one in attempts.values():
        yield float(one.reached.mean())
    yield from share_between(attempts[TRAINED].reached)


def _heading(name: str) -> str:
    """With a capital; all else, as of a run's name, stays."""
    return name[:1].upper() + name[1:]


def _cells(attempts: Attempts, kinds: Iterable[Bool[ndarray, "b"]]) -> Iterator[float]:
    reached = attempts.reached
    yield float(reached.mean())
    yield from share_between(reached)
    for which in kinds:
        yield float(reached[which].mean())
    yield float(attempts.arrival[reached].mean()) if reached.any() else float("nan")
    yield 1e3 * attempts.seconds_per_action
