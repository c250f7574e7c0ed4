"""How well probes tell which of several classes are true of a video."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.functional.classification import multilabel_average_precision

from worldmodel_train.evaluation.probing.classification_scores import NamedVideos, how_chosen
from worldmodel_train.evaluation.task_result import (
    Column,
    Number,
    Row,
    Section,
    Table,
    TaskResult,
    once,
)


@dataclass(frozen=True, kw_only=True)
class ProbePrecision:
    """The average precision of one probe."""

    name: str
    mean: float
    """Over the classes that are true of some video."""


def several_classes_result(named: NamedVideos) -> TaskResult:
    """Mean average precision of each probe, the best one first."""
    batches: list[tuple[Tensor, Tensor]] = []
    named.go_through(lambda probabilities, labels: batches.append((probabilities, labels)))
    probabilities = named.of_all([one for one, _ in batches], dim=1)
    labels = named.of_all([one for _, one in batches], dim=0)
    seen = labels.any(dim=0)
    found = [
        ProbePrecision(name=name, mean=mean_average_precision(one[:, seen], labels[:, seen]))
        for name, one in zip(named.probe_names, probabilities, strict=True)
    ]
    found.sort(key=lambda probe: -probe.mean)
    chance = float(labels[:, seen].float().mean())
    measured_on = f"{len(labels)} held-out videos, each seen {named.num_views} times"
    return TaskResult(
        measured_on=measured_on,
        caption=f"Of the best probe ({found[0].name}), over {int(seen.sum())} of "
        f"{labels.shape[1]} classes that are true of some video.",
        numbers=(
            Number(
                name="mean average precision",
                unit="percent",
                trained=once(found[0].mean),
                baselines={"how often a class is true": once(chance)},
            ),
        ),
        sections=(
            Section(
                title="Classes found by probes",
                text=f"{measured_on}.{named.said_of_skips} A class's average precision is the "
                "mean, over the videos it is true of, of the precision down to each when all are "
                "sorted by its probability.",
                notes={"Best probe": how_chosen(len(found))},
                tables=(
                    Table(
                        caption=f"{len(found)} probes trained together",
                        corner="Probe",
                        columns=(Column(name="mAP", unit="percent", best_is_marked=True),),
                        rows=tuple(
                            Row(name=probe.name, cells=(once(probe.mean),)) for probe in found
                        ),
                    ),
                ),
            ),
        ),
    )


def mean_average_precision(
    probabilities: Float[Tensor, "v k"], labels: Bool[Tensor, "v k"]
) -> float:
    """The mean over classes; each must be true of some video."""
    precision = multilabel_average_precision(
        probabilities, labels.long(), num_labels=labels.shape[1], average="macro"
    )
    assert isinstance(precision, Tensor)
    return float(precision)
