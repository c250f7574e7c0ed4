"""Numbers, table and words on how features bear corrupted clips."""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from worldmodel_train.evaluation.robustness.robustness_scores import (
    Condition,
    Robustness,
    Steadiness,
)
from worldmodel_train.evaluation.task_result import (
    TRAINED,
    UNTRAINED,
    Column,
    Number,
    Row,
    Section,
    Table,
    TaskResult,
    contenders_tables,
    once,
)

PIXELS = "pooled 8x8 pixels"
KINDS = (TRAINED, UNTRAINED, PIXELS)
"""The features that are measured, in the order of the table."""
DRIFT, RETRIEVAL = "drift under corruption", "retrieval under corruption"
CLEAN_PROBE, PROBE = "linear probe, clean", "linear probe under corruption"


def robustness_result(measured: Robustness, *, num_clips: int, num_videos: int) -> TaskResult:
    """All but the picture."""
    conditions = measured.conditions
    numbers = (*_numbers(conditions, num_clips), *_probe_numbers(measured))
    return TaskResult(
        measured_on=f"{num_clips} clips of {num_videos} held-out videos, each under "
        f"{len(conditions)} corruptions and strengths",
        caption="Means over corruptions at their middle strengths. Drift: 0 is unmoved, 1 as far "
        "as a clip of another video, less is steadier. Retrieval: clips found again among all.",
        numbers=numbers,
        sections=(
            Section(
                title="Robustness to corrupted clips",
                text="The encoders stay frozen. A clip stands for the mean of its latents.",
                tables=(
                    *contenders_tables("Means over corruptions at their middle strengths", numbers),
                    _table(measured, num_clips),
                ),
                notes={
                    "Drift": "Mean distance from a clip's features to those of the clip corrupted, "
                    "divided by the mean distance between clean clips of different videos: 0 is "
                    "unmoved, 1 as far as another video. Features that see little of the clip are "
                    "steady, too: read it beside what they are good for.",
                    "Retrieval": "Share of corrupted clips whose nearest clean clip (cosine, "
                    "centred on the clean clips' mean) is their own. Clips of the same video are "
                    "among those that may be mistaken for it.",
                    "Probe": _PROBE_NOTE if measured.clean_accuracy else _NO_PROBE_NOTE,
                },
            ),
        ),
    )


_PROBE_NOTE = (
    "Share of clips whose class a linear probe names. It learned from clean clips of other videos; "
    "thirds of the videos are held out in turn."
)
_NO_PROBE_NOTE = (
    "Not measured: a probe needs clips of one known class each (data.classes), of three videos or "
    "more."
)


def _middle_means(
    conditions: Sequence[Condition], score: Callable[[Steadiness], float]
) -> dict[str, float]:
    """Of each kind of features, the mean over corruptions at their middle strengths."""
    middle = [condition for condition in conditions if condition.is_middle]
    return {kind: fmean(score(one.steadiness[kind]) for one in middle) for kind in KINDS}


def _probe_numbers(measured: Robustness) -> Iterator[Number]:
    """The probe's accuracy on clean clips and on corrupted ones, where there are classes."""
    if measured.clean_accuracy is None or measured.chance is None:
        return
    worse = _middle_means(measured.conditions, _accuracy)
    for name, accuracies in ((CLEAN_PROBE, measured.clean_accuracy), (PROBE, worse)):
        yield Number(
            name=name,
            unit="percent",
            trained=once(accuracies[TRAINED]),
            baselines={kind: once(accuracies[kind]) for kind in KINDS[1:]}
            | {"chance": once(measured.chance)},
        )


def _accuracy(steadiness: Steadiness) -> float:
    assert steadiness.accuracy is not None, "measured for all conditions or for none"
    return steadiness.accuracy


def _numbers(conditions: Sequence[Condition], num_clips: int) -> tuple[Number, ...]:
    drifts = _middle_means(conditions, lambda one: one.drift)
    retrievals = _middle_means(conditions, lambda one: one.retrieval)
    return (
        Number(
            name=DRIFT,
            lower_is_better=True,
            trained=once(drifts.pop(TRAINED)),
            baselines={name: once(value) for name, value in drifts.items()}
            | {"another video": once(1.0)},
        ),
        Number(
            name=RETRIEVAL,
            unit="percent",
            trained=once(retrievals.pop(TRAINED)),
            baselines={name: once(value) for name, value in retrievals.items()}
            | {"chance": once(1 / num_clips)},
        ),
    )


def _table(measured: Robustness, num_clips: int) -> Table:
    conditions = measured.conditions
    first = {one.corruption: one for one in reversed(conditions)}
    probed = KINDS if measured.clean_accuracy else ()
    return Table(
        caption=f"Every corruption and strength; chance finds {100 / num_clips:.1f} %",
        corner="Corruption",
        columns=(
            *(Column(name=f"Drift, {kind}") for kind in KINDS),
            *(Column(name=f"Found, {kind}", unit="percent") for kind in KINDS),
            *(Column(name=f"Probe, {kind}", unit="percent") for kind in probed),
        ),
        rows=tuple(
            Row(
                name=condition.shown.capitalize(),
                cells=(
                    *(once(condition.steadiness[kind].drift) for kind in KINDS),
                    *(once(condition.steadiness[kind].retrieval) for kind in KINDS),
                    *(once(_accuracy(condition.steadiness[kind])) for kind in probed),
                ),
                look="apart" if condition is first[condition.corruption] else "plain",
            )
            for condition in conditions
        ),
        remarks=tuple(_remark(conditions, rival) for rival in KINDS[1:]),
    )


def _remark(conditions: Sequence[Condition], rival: str) -> str:
    """How often the trained encoder beats another kind of features, sparing nobody."""
    pairs = [(one.steadiness[TRAINED], one.steadiness[rival]) for one in conditions]
    steadier = sum(ours.drift < theirs.drift for ours, theirs in pairs)
    finds = sum(ours.retrieval > theirs.retrieval for ours, theirs in pairs)
    loses = sum(ours.retrieval < theirs.retrieval for ours, theirs in pairs)
    return (
        f"Beside {rival}, trained drifts less in {steadier} of {len(pairs)} rows, finds more clips "
        f"in {finds} and fewer in {loses}."
    )
