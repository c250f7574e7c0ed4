"""How frozen features serve labels: named by probes, and found among the clips to learn from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from worldmodel_train.data.fixed import Views
from worldmodel_train.evaluation.frozen import Contestants, in_batches
from worldmodel_train.evaluation.probing.probe_features import probe_features
from worldmodel_train.evaluation.probing.retrieval import (
    average_precision,
    found_by_chance,
    found_within,
    precision_by_chance,
    ranked_relevance,
)
from worldmodel_train.probes.knn import knn_labels
from worldmodel_train.probes.linear import linear_labels
from worldmodel_train.protocols import Encoder

KNN, LINEAR = "k-NN", "linear"
RECALL_1, RECALL_5, PRECISION = "recall@1", "recall@5", "mean average precision"


@dataclass(frozen=True, kw_only=True)
class LabelledVideos:
    """Features of the same videos, or recordings, by several encoders, and their classes."""

    features: Mapping[str, Float[Tensor, "b _"]]
    labels: Int64[Tensor, "b"]


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """What each test video scored, by measure."""

    by_features: Mapping[str, Mapping[str, Float[Tensor, "q"]]]
    """By the features' name, then by measure."""
    chance: Mapping[str, float]
    num_train: int
    num_test: int
    num_classes: int
    """Classes that occur, in either part."""
    num_unknown: int
    """Test videos whose class has no video to learn from; they count as wrong and not found."""


def labelled_videos(
    models: Contestants[Encoder], videos: Iterable[Views], batch_size: int
) -> LabelledVideos:
    """Features and labels of the first clip of each video, a batch of them in memory at a time."""
    features: dict[str, list[Tensor]] = {}
    labels: list[int] = []
    for batch in in_batches(videos, batch_size):
        clips = torch.cat([video.clips[:1] for video in batch])
        for kind, rows in probe_features(models, clips, batch_size).items():
            features.setdefault(kind, []).append(rows)
        for video in batch:
            assert isinstance(video.class_number, int), "videos of one class each are read"
            labels.append(video.class_number)
    return LabelledVideos(
        features={kind: torch.cat(rows) for kind, rows in features.items()},
        labels=torch.tensor(labels),
    )


def joined(parts: Sequence[LabelledVideos]) -> LabelledVideos:
    """All of them, one part after the other."""
    kinds = parts[0].features
    return LabelledVideos(
        features={kind: torch.cat([part.features[kind] for part in parts]) for kind in kinds},
        labels=torch.cat([part.labels for part in parts]),
    )


def measure_labels(train: LabelledVideos, test: LabelledVideos, *, neighbours: int) -> LabelScores:
    """Probes learned from `train` and tried on `test`, and retrieval of the first by the second.

    Raises:
        ValueError: The videos to learn from are all of one class.
    """
    if len(train.labels.unique()) < 2:
        raise ValueError(
            f"labels: the {len(train.labels)} videos to learn from are all of one class; name "
            "shards of two classes or more, or raise max_clips"
        )
    return LabelScores(
        by_features={
            kind: _scores((train.features[kind], train.labels), (rows, test.labels), neighbours)
            for kind, rows in test.features.items()
        },
        chance=_chance(train.labels, test.labels),
        num_train=len(train.labels),
        num_test=len(test.labels),
        num_classes=len(torch.cat([train.labels, test.labels]).unique()),
        num_unknown=int((~torch.isin(test.labels, train.labels)).sum()),
    )


def _scores(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], neighbours: int
) -> dict[str, Float[Tensor, "q"]]:
    queries, labels = test
    relevant = ranked_relevance(*train, *test)
    return {
        KNN: (knn_labels(*train, queries, neighbours) == labels).float(),
        LINEAR: (linear_labels(*train, queries) == labels).float(),
        RECALL_1: found_within(relevant, 1),
        RECALL_5: found_within(relevant, 5),
        PRECISION: average_precision(relevant),
    }


def _chance(train: Int64[Tensor, "p"], test: Int64[Tensor, "q"]) -> dict[str, float]:
    """For probes the share of the class that is commonest where they learn."""
    commonest = float((test == train.mode().values).double().mean())
    num_relevant = (test[:, None] == train).sum(dim=1)
    return {
        KNN: commonest,
        LINEAR: commonest,
        RECALL_1: float(found_by_chance(num_relevant, len(train), 1).mean()),
        RECALL_5: float(found_by_chance(num_relevant, len(train), 5).mean()),
        PRECISION: float(precision_by_chance(num_relevant, len(train)).mean()),
    }
