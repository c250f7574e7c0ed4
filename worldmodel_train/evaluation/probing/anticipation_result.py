"""Numbers, table and words on what probes expect to be done next."""

from collections.abc import Mapping, Sequence

from worldmodel_train.evaluation.probing.class_recall import KindRecall, chance, probes_by_recall
from worldmodel_train.evaluation.probing.classification_scores import TOP, NamedVideos
from worldmodel_train.evaluation.task_result import (
    Column,
    Number,
    Row,
    Section,
    Table,
    TaskResult,
    once,
)

CHANCE = f"chance, or always the same {TOP}"


def anticipation_result(recalls: Mapping[str, KindRecall], named: NamedVideos) -> TaskResult:
    """The best probe's recall of each kind, and a table of all."""
    classes = ", ".join(f"{one.num_present} classes of {kind}" for kind, one in recalls.items())
    measured_on = f"{next(iter(recalls.values())).num_clips} held-out clips of {classes}"
    return TaskResult(
        measured_on=measured_on,
        caption=f"Of the best probe of each kind, among classes that some held-out clip has. 95 % "
        f"intervals: {'; '.join(_interval(*kind) for kind in recalls.items())}.",
        numbers=tuple(number for kind in recalls.items() for number in _numbers(*kind)),
        sections=(
            Section(
                title="What probes expect to be done next",
                text=f"{measured_on}.{named.said_of_skips} The recall of a class is the share of "
                f"its clips that have it among the {TOP} likeliest; classes count alike, however "
                "many clips each has.",
                tables=(_table(recalls, named.probe_names),),
                notes={
                    "Best probe": "Chosen on these same clips, for each kind by itself, as the "
                    "published protocol does: of many probes the best is a little lucky.",
                    "Of all classes": "The published protocol leaves out classes that no held-out "
                    "clip has, which nobody knows of a clip to come; these numbers do not.",
                },
            ),
        ),
    )


def _numbers(kind: str, found: KindRecall) -> tuple[Number, Number]:
    best = found.probes[found.best]
    return (
        Number(
            name=f"{kind}: mean-class recall at {TOP}",
            unit="percent",
            trained=once(best.recall),
            baselines={CHANCE: once(chance(found.num_present))},
        ),
        Number(
            name=f"{kind}: mean-class recall at {TOP}, of all classes",
            unit="percent",
            trained=once(best.of_all),
            baselines={CHANCE: once(chance(found.num_classes))},
        ),
    )


def _interval(kind: str, found: KindRecall) -> str:
    low, high = found.interval
    return f"{kind} {100 * low:.1f} to {100 * high:.1f} %"


def _table(recalls: Mapping[str, KindRecall], names: Sequence[str]) -> Table:
    kinds = list(recalls.values())
    order = probes_by_recall(kinds)
    return Table(
        caption=f"{len(names)} probes trained together",
        corner="Probe",
        columns=tuple(
            Column(name=f"{kind} recall", unit="percent", best_is_marked=True) for kind in recalls
        ),
        rows=tuple(
            Row(
                name=names[probe],
                cells=tuple(once(kind.probes[probe].recall) for kind in kinds),
                look="ours" if probe == order[0] else "plain",
            )
            for probe in order
        ),
    )
