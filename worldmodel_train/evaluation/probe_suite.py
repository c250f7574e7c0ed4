"""Probes on labelled clips, held out by groups that the probe never saw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel_train.evaluation.probe_scores import ProbeScores, ProbeSuite, ProbeTask
from worldmodel_train.evaluation.task_result import Measured
from worldmodel_train.probes.knn import knn_accuracy
from worldmodel_train.probes.linear import linear_accuracy


@dataclass(frozen=True, kw_only=True)
class LabelledFeatures:
    """Features of the same clips by several encoders, with labels and each clip's group."""

    features: Mapping[str, Float[Tensor, "b _"]]
    labels: Mapping[str, Int[Tensor, "b"]]
    groups: Int[Tensor, "b"]
    """Clips of a group, such as those that one person drew, are held out together."""


def run_probes(
    data: LabelledFeatures, held_out: Sequence[Bool[Tensor, "b"]], *, neighbours: int
) -> ProbeSuite:
    """The accuracy of each probe, on each kind of features, for each label, over the splits."""
    tasks = [_run_task(name, data, held_out, neighbours) for name in data.labels]
    num_test = int(held_out[0].sum())
    return ProbeSuite(
        num_train=len(data.groups) - num_test,
        num_test=num_test,
        num_splits=len(held_out),
        tasks=tuple(tasks),
    )


def group_splits(
    groups: Int[Tensor, "b"], *, splits: int, held_out: int
) -> Iterator[Bool[Tensor, "b"]]:
    """For each split the clips of the groups held out.

    Splits hold out different groups while there are any; at least one is left to train on.
    """
    each = groups.unique()
    assert held_out < len(each), f"{held_out} of {len(each)} groups leave none"
    order = each[torch.randperm(len(each), generator=torch.Generator().manual_seed(0))]
    for split in range(splits):
        first = split * held_out
        turn = torch.arange(first, first + held_out) % len(order)
        yield torch.isin(groups, order[turn])


def _run_task(name: str, data: LabelledFeatures, held_out: Sequence[Tensor], k: int) -> ProbeTask:
    labels = data.labels[name]
    scores = []
    for kind, features in data.features.items():
        parts = [
            (features[~test], labels[~test], features[test], labels[test]) for test in held_out
        ]
        scores.append(
            ProbeScores(
                features=kind,
                width=features.shape[1],
                knn=Measured(values=tuple(knn_accuracy(*part, k) for part in parts)),
                linear=Measured(values=tuple(linear_accuracy(*part) for part in parts)),
            )
        )
    commonest = labels.bincount().max() / len(labels)
    return ProbeTask(
        label=name,
        num_classes=len(labels.unique()),
        chance=float(commonest),
        scores=tuple(scores),
    )
