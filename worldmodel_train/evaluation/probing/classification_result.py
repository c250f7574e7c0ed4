"""Numbers, table and words on videos named by probes."""

from collections import Counter

from worldmodel_train.data.health import counted
from worldmodel_train.evaluation.probing.classification_scores import TOP, Accuracies, how_chosen
from worldmodel_train.evaluation.task_result import (
    Column,
    Measured,
    Number,
    Row,
    Section,
    Table,
    TaskResult,
    once,
)

COMMONEST = "always the commonest class"


def classification_result(found: Accuracies) -> TaskResult:
    """The best probe's numbers, and a table of all."""
    best = found.probes[0]
    measured_on = f"{found.num_videos} held-out videos of {found.num_classes} classes"
    return TaskResult(
        measured_on=f"{measured_on}, each seen {found.num_views} times",
        caption=f"Of the probe that names most ({best.name}). "
        f"95 % interval of top-1: {100 * best.interval[0]:.1f} to {100 * best.interval[1]:.1f} %.",
        numbers=(
            Number(
                name="top-1 accuracy",
                unit="percent",
                trained=once(best.top1),
                baselines={COMMONEST: once(found.commonest)},
            ),
            Number(
                name=f"top-{TOP} accuracy",
                unit="percent",
                trained=once(best.top5),
                baselines={"chance": once(min(1.0, TOP / found.num_classes))},
            ),
            Number(
                name="mean accuracy of classes",
                unit="percent",
                trained=once(best.per_class),
                baselines={"chance": once(1 / found.num_classes)},
            ),
        ),
        sections=(
            Section(
                title="Videos named by probes",
                text=f"{measured_on}. Each is seen {found.num_views} times, at other places or "
                "times, and the probabilities are averaged." + _skips(found),
                tables=(_table(found),),
                notes={
                    "Best probe": f"{how_chosen(len(found.probes))} The interval is of the drawing "
                    "of videos alone.",
                    "Baselines": "An untrained encoder and pixels need probes of their own: "
                    "the tasks that compare features have them.",
                },
            ),
        ),
    )


def _skips(found: Accuracies) -> str:
    if not found.skipped:
        return ""
    reasons = Counter(skip.reason for skip in found.skipped)
    videos = f"{len(found.skipped)} videos"
    return f" {videos} could not be read and do not count ({counted(reasons)})."


def _table(found: Accuracies) -> Table:
    names = ("Top-1", "95 % from", "95 % to", f"Top-{TOP}", "Mean of classes")
    marked = {"Top-1", f"Top-{TOP}", "Mean of classes"}
    rows = [
        Row(name=probe.name, cells=_cells(probe.top1, *probe.interval, probe.top5, probe.per_class))
        for probe in found.probes
    ]
    best = rows[0].model_copy(update={"look": "ours"})
    return Table(
        caption=f"{len(rows)} probes trained together",
        corner="Probe",
        columns=tuple(
            Column(name=name, unit="percent", best_is_marked=name in marked) for name in names
        ),
        rows=(best, *rows[1:]),
    )


def _cells(*values: float) -> tuple[Measured, ...]:
    return tuple(once(value) for value in values)
