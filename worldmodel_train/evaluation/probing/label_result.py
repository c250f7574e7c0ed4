"""Numbers, tables and words on how frozen features serve labels."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from worldmodel_train.evaluation.bootstrap import bootstrap_interval
from worldmodel_train.evaluation.frozen import TRAINED_ENCODER, UNTRAINED_ENCODER
from worldmodel_train.evaluation.probing.label_scores import LabelScores
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Column,
    Number,
    Row,
    Section,
    Table,
    TaskResult,
    once,
)


def label_result(found: LabelScores, noun: str = "videos") -> TaskResult:
    """Every measure beside untrained features, pixels and chance, and how sure it is.

    `noun` is what samples are called.
    """
    one = noun.removesuffix("s")
    unknown = (
        f" {found.num_unknown} test {noun} are of classes without a {one} to learn from, and "
        "count as wrong and not found."
        if found.num_unknown
        else ""
    )
    return TaskResult(
        measured_on=f"{found.num_train} {noun} to learn from and {found.num_test} to be tested on, "
        f"of {found.num_classes} classes",
        caption=f"Shares of test {noun}, or of the precision at their places; intervals are in the "
        "report.",
        numbers=tuple(_numbers(found)),
        sections=(
            Section(
                title="Labels by frozen features",
                text=f"One clip of each of {found.num_train} labelled {noun} is learned from, and "
                f"of {found.num_test} others tested on; the encoders stay frozen.{unknown}",
                tables=tuple(_table(found, measure) for measure in found.chance),
                notes={
                    "Probes": "k-NN votes by cosine; the linear probe is ridge regression onto the "
                    f"labels, its penalty chosen by leaving out {noun} of the training part. "
                    "Chance names always the class that is commonest there.",
                    "Retrieval": f"Each test {one} asks for the training {noun} of its class, "
                    "ranked by cosine. Recall@k: one of them is among the first k. Average "
                    "precision: the mean, over the places of them, of the share of them up to "
                    "there. Chance is a random order. Features are standardised throughout.",
                    "Intervals": f"95 %, by drawing test {noun} anew. What is learned from is not "
                    "drawn anew, nor is the encoder trained again.",
                },
            ),
        ),
    )


def _numbers(found: LabelScores) -> Iterator[Number]:
    """For each measure and pooling of the encoder's latents one."""
    encoders = (TRAINED_ENCODER, UNTRAINED_ENCODER)
    for measure, chance in found.chance.items():
        means = {kind: once(float(one[measure].mean())) for kind, one in found.by_features.items()}
        others = {kind: one for kind, one in means.items() if not kind.startswith(encoders)}
        for kind, trained in means.items():
            if kind.startswith(TRAINED_ENCODER):
                pooling = kind.removeprefix(TRAINED_ENCODER)
                yield Number(
                    name=f"{measure}{pooling}",
                    unit="percent",
                    trained=trained,
                    baselines={UNTRAINED: means[UNTRAINED_ENCODER + pooling]}
                    | others
                    | {"chance": once(chance)},
                )


def _table(found: LabelScores, measure: str) -> Table:
    values = {kind: one[measure] for kind, one in found.by_features.items()}
    rows = tuple(
        Row(
            name=kind,
            cells=tuple(once(cell) for cell in (float(one.mean()), *bootstrap_interval(one))),
            look="ours" if kind.startswith(TRAINED_ENCODER) else "plain",
        )
        for kind, one in values.items()
    )
    return Table(
        caption=f"By {measure}, chance {100 * found.chance[measure]:.1f} %",
        corner="Features",
        columns=(
            Column(name="Share", unit="percent", best_is_marked=True),
            Column(name="95 % from", unit="percent"),
            Column(name="95 % to", unit="percent"),
        ),
        rows=rows,
        remarks=(_verdict(values),),
    )


def _verdict(values: dict[str, Float[Tensor, "q"]]) -> str:
    """Trained against all other features on the same videos, sparing nobody."""
    ours = _best({kind: one for kind, one in values.items() if kind.startswith(TRAINED_ENCODER)})
    rival = _best(
        {kind: one for kind, one in values.items() if not kind.startswith(TRAINED_ENCODER)}
    )
    gain = values[ours] - values[rival]
    low, high = bootstrap_interval(gain)
    outcome = "training wins" if low > 0 else "training does not win"
    if low <= 0 < float(gain.mean()):
        outcome += " surely"
    return (
        f"The best trained features ({ours}) less the best others ({rival}): "
        f"{100 * float(gain.mean()):+.1f} points, 95 % interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}; {outcome}."
    )


def _best(values: dict[str, Float[Tensor, "q"]]) -> str:
    return max(values, key=lambda kind: float(values[kind].mean()))
