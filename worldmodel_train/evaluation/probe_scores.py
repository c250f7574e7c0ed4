"""Accuracies of probes on features of several kinds, and what the report makes of them."""

from collections.abc import Callable, Iterator, Sequence

from worldmodel_train.evaluation.frozen import TRAINED_ENCODER, UNTRAINED_ENCODER
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Column,
    Measured,
    Number,
    Record,
    Row,
    Section,
    Table,
    TaskResult,
    once,
)

PROBES = {"knn": "k-NN", "linear": "linear"}
"""The probes, and what they are called."""


class ProbeScores(Record):
    """Accuracies of both probes on one kind of features."""

    features: str
    """Starts with the encoder's name where an encoder made them."""
    width: int
    knn: Measured
    linear: Measured


class ProbeTask(Record):
    """One label to read off the features."""

    label: str
    num_classes: int
    chance: float
    """Share of the commonest class."""
    scores: tuple[ProbeScores, ...]

    @property
    def verdicts(self) -> tuple[str, ...]:
        """For each probe a sentence on trained against all other features, sparing nobody."""
        return (
            _verdict("k-NN", {row.features: row.knn for row in self.scores}),
            _verdict("Linear", {row.features: row.linear for row in self.scores}),
        )


class ProbeSuite(Record):
    """All probes on labelled sets of one size."""

    num_train: int
    num_test: int
    num_splits: int
    tasks: tuple[ProbeTask, ...]

    @classmethod
    def joined(cls, suites: Sequence["ProbeSuite"]) -> "ProbeSuite":
        """The labels of all suites, whose sets are equally large and equally often cut."""
        first = suites[0]
        sizes = {(one.num_train, one.num_test, one.num_splits) for one in suites}
        assert len(sizes) == 1, f"sets of different sizes have no one table: {sizes}"
        return first.model_copy(update={"tasks": tuple(t for one in suites for t in one.tasks)})


class ProbeWords(Record):
    """What the report says of the clips, and of who or what is held out."""

    title: str
    measured_on: str
    """How many clips a probe learns from and is tested on."""
    splits: str
    """How many ways of holding out, and what."""
    caption: str
    text: str


def probe_result(suite: ProbeSuite, words_of: Callable[[ProbeSuite], ProbeWords]) -> TaskResult:
    """Numbers and the section of the report."""
    words = words_of(suite)
    return TaskResult(
        measured_on=f"{words.measured_on}, in {words.splits}",
        caption=words.caption,
        numbers=tuple(number for task in suite.tasks for number in _numbers(task)),
        sections=(
            Section(
                title=words.title,
                text=words.text,
                tables=tuple(_table(task) for task in suite.tasks),
                notes={
                    "Accuracy": "Share of test clips named rightly, mean ± standard deviation over "
                    f"{words.splits}; the best of each column is marked. k-NN votes by cosine; the "
                    "linear probe is ridge regression onto the labels with its penalty chosen by "
                    "leaving out clips of the training part. Features are standardised for both.",
                    "Features": "“Mean”: latents averaged over all tokens. “2x2x2”: averaged in "
                    "each of two parts of time, height and width. “Pooled 8x8 pixels”: every frame "
                    "shrunk to 8x8 pixels, no learning at all.",
                },
            ),
        ),
    )


def _numbers(task: ProbeTask) -> Iterator[Number]:
    """For each probe and pooling of the encoder's latents one."""
    for probe, called in PROBES.items():
        accuracy = {row.features: getattr(row, probe) for row in task.scores}
        encoders = (TRAINED_ENCODER, UNTRAINED_ENCODER)
        others = {name: one for name, one in accuracy.items() if not name.startswith(encoders)}
        for name, trained in accuracy.items():
            if name.startswith(TRAINED_ENCODER):
                pooling = name.removeprefix(TRAINED_ENCODER)
                untrained = accuracy.get(UNTRAINED_ENCODER + pooling)
                yield Number(
                    name=f"{task.label}, {called}{pooling}",
                    unit="percent",
                    trained=trained,
                    baselines=others | ({UNTRAINED: untrained} if untrained else {}),
                )


def _table(task: ProbeTask) -> Table:
    chance = f"the commonest {100 * task.chance:.1f} %"
    return Table(
        caption=f"{task.label.capitalize()}: {task.num_classes} classes, {chance}",
        corner="Features",
        columns=(
            Column(name="Width", unit="count"),
            Column(name="k-NN", unit="percent", best_is_marked=True),
            Column(name="Linear", unit="percent", best_is_marked=True),
        ),
        rows=tuple(
            Row(
                name=row.features,
                cells=(once(row.width), row.knn, row.linear),
                look="ours" if row.features.startswith(TRAINED_ENCODER) else "plain",
            )
            for row in task.scores
        ),
        remarks=task.verdicts,
    )


def _verdict(probe: str, accuracies: dict[str, Measured]) -> str:
    ours = _best({k: v for k, v in accuracies.items() if k.startswith(TRAINED_ENCODER)})
    rival = _best({k: v for k, v in accuracies.items() if not k.startswith(TRAINED_ENCODER)})
    gain = accuracies[ours].mean - accuracies[rival].mean
    spread = accuracies[ours].spread + accuracies[rival].spread
    outcome = "training wins" if gain > spread else "training does not win"
    if 0 < gain <= spread:
        outcome += " beyond the spread"
    return (
        f"{probe}: {outcome}; the best trained features name {100 * accuracies[ours].mean:.1f} % "
        f"rightly, the best others ({rival}) {100 * accuracies[rival].mean:.1f} %."
    )


def _best(accuracies: dict[str, Measured]) -> str:
    return max(accuracies, key=lambda features: accuracies[features].mean)
