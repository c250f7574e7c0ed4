"""How often probes name videos rightly, each video seen several times."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from worldmodel_train.data.fixed import Views
from worldmodel_train.evaluation.bootstrap import bootstrap_interval
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.protocols import Classifier
from worldmodel_train.types import Skip

TOP = 5


@dataclass(frozen=True, kw_only=True)
class ProbeAccuracy:
    """The shares of videos that one probe names rightly."""

    name: str
    top1: float
    top5: float
    per_class: float
    """The mean over classes of the share of a class's videos."""
    interval: tuple[float, float]
    """Of top1, 95 %, by drawing the videos anew."""


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """What was measured, the best probe first."""

    probes: tuple[ProbeAccuracy, ...]
    commonest: float
    """The share of the commonest class."""
    num_classes: int
    num_videos: int
    num_views: int
    """Times that each video was seen, and its probabilities averaged over."""
    skipped: tuple[Skip, ...]


def measure_accuracies(
    model: Classifier, videos: Iterable[Views | Skip], *, num_crops: int, batch_size: int
) -> Accuracies:
    """The accuracies of each of the model's probes over all videos, one batch of them in memory.

    Raises:
        ValueError: No video could be read.
    """
    skipped: list[Skip] = []
    tally: _Tally | None = None
    with frozen(model) as device:
        for batch in _batches(_without_skips(videos, skipped), batch_size):
            clips = torch.stack([video.clips for video in batch]).to(device)
            probabilities = _mean_probabilities(model, clips, num_crops).cpu()
            if tally is None:
                num_views = clips.shape[1] // model.num_segments()
                tally = _Tally(model.probe_names(), probabilities.shape[-1], num_views=num_views)
            tally.add(probabilities, torch.tensor([video.class_number for video in batch]))
    if tally is None:
        raise ValueError(
            f"data.held_out gave no video that can be read; {len(skipped)} were skipped, the last "
            f"as {skipped[-1] if skipped else 'there are none'}"
        )
    return tally.accuracies(tuple(skipped))


def _without_skips(videos: Iterable[Views | Skip], skipped: list[Skip]) -> Iterator[Views]:
    for video in videos:
        if isinstance(video, Skip):
            skipped.append(video)
        else:
            yield video


def _batches(videos: Iterator[Views], size: int) -> Iterator[list[Views]]:
    while batch := list(islice(videos, size)):
        yield batch


def _mean_probabilities(
    model: Classifier, clips: Tensor, num_crops: int
) -> Float[Tensor, "p b classes"]:
    """Over crops, and over groups of as many segments as a probe sees together."""
    views = rearrange(
        clips,
        "b (n s c) t h w rgb -> (b n c s) t h w rgb",
        s=model.num_segments(),
        c=num_crops,
    )
    probabilities = model.logits(views).softmax(-1)
    return reduce(probabilities, "p (b v) k -> p b k", "mean", b=len(clips))


class _Tally:
    """Counts what is named rightly, probe by probe."""

    def __init__(self, probes: Sequence[str], num_classes: int, *, num_views: int) -> None:
        self._probes = probes
        self._num_views = num_views
        self._num_classes = num_classes
        top = min(TOP, num_classes)
        self._top5 = [MulticlassAccuracy(num_classes, top_k=top, average="micro") for _ in probes]
        self._per_class = [MulticlassAccuracy(num_classes, average="macro") for _ in probes]
        self._right: list[Bool[Tensor, "p b"]] = []
        self._labels: list[Int64[Tensor, "b"]] = []

    def add(self, probabilities: Float[Tensor, "p b k"], labels: Int64[Tensor, "b"]) -> None:
        for probe, probability in enumerate(probabilities):
            self._top5[probe].update(probability, labels)
            self._per_class[probe].update(probability, labels)
        self._right.append(probabilities.argmax(-1) == labels)
        self._labels.append(labels)

    def accuracies(self, skipped: tuple[Skip, ...]) -> Accuracies:
        right, labels = torch.cat(self._right, dim=1), torch.cat(self._labels)
        probes = [
            ProbeAccuracy(
                name=name,
                top1=float(row.float().mean()),
                top5=float(self._top5[number].compute()),
                per_class=float(self._per_class[number].compute()),
                interval=bootstrap_interval(row.float()),
            )
            for number, (name, row) in enumerate(zip(self._probes, right, strict=True))
        ]
        return Accuracies(
            probes=tuple(sorted(probes, key=lambda probe: -probe.top1)),
            commonest=float(labels.bincount().max()) / len(labels),
            num_classes=self._num_classes,
            num_videos=len(labels),
            num_views=self._num_views,
            skipped=skipped,
        )
