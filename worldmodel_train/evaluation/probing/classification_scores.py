"""How often probes name videos rightly, each video seen several times."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.fixed import Views
from worldmodel_train.data.labels import stack_labels
from worldmodel_train.evaluation.bootstrap import bootstrap_interval
from worldmodel_train.evaluation.frozen import frozen, in_batches
from worldmodel_train.evaluation.task import Subject
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


def measure_accuracies(named: "NamedVideos") -> Accuracies:
    """The accuracies of each probe over all videos, one batch of them in memory.

    Raises:
        ValueError: No video could be read.
    """
    tally: _Tally | None = None
    for probabilities, labels in named:
        tally = tally or _Tally(named.probe_names, num_classes=probabilities.shape[-1])
        tally.add(probabilities, labels)
    assert tally is not None, "without a video it has been refused"
    return tally.accuracies(num_views=named.num_views, skipped=tuple(named.skipped))


class NamedVideos:
    """Goes once through videos and gives what probes think of them, batch by batch, on the CPU.

    Raises ValueError at its end where no video could be read.
    """

    def __init__(
        self,
        model: Classifier,
        videos: Iterable[Views | Skip],
        *,
        num_crops: int,
        batch_size: int,
    ) -> None:
        self._model = model
        self._videos = videos
        self._num_crops = num_crops
        self._batch_size = batch_size
        self.probe_names = tuple(model.probe_names())
        self.skipped: list[Skip] = []
        """Bad videos met so far."""
        self.num_views = 0
        """Times that each video is seen, known once one was."""

    @classmethod
    def of(
        cls, subject: Subject, *, times: int = 1, crops: int = 1, batch_size: int
    ) -> "NamedVideos":
        """All held-out videos of a subject that names them, seen at so many times and places."""
        data, model = subject.data, subject.trained
        assert isinstance(data, DataConfig), "the recipe was checked"
        assert data.held_out is not None, "the recipe was checked"
        assert isinstance(model, Classifier), "the recipe was checked"
        videos = data.each_video(data.held_out, segments=times * model.num_segments(), crops=crops)
        return cls(model, videos, num_crops=crops, batch_size=batch_size)

    @property
    def said_of_skips(self) -> str:
        """A sentence for each reason that videos were left out for; nothing where none were."""
        reasons = Counter(skip.reason for skip in self.skipped)
        return "".join(f" {count} were skipped as {reason}." for reason, count in reasons.items())

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "p b classes"], Tensor]]:
        """Each probe's probabilities, and the videos' labels."""
        with frozen(self._model) as device:
            for batch in in_batches(self._without_skips(), self._batch_size):
                clips = torch.stack([video.clips for video in batch]).to(device)
                self.num_views = clips.shape[1] // self._model.num_segments()
                probabilities = _mean_probabilities(self._model, clips, self._num_crops)
                labels = [one.class_number for one in batch if one.class_number is not None]
                yield probabilities.cpu(), stack_labels(labels)
        if not self.num_views:
            last = self.skipped[-1] if self.skipped else "there are none"
            raise ValueError(
                f"data.held_out gave no video that can be read; {len(self.skipped)} were skipped, "
                f"the last as {last}"
            )

    def _without_skips(self) -> Iterator[Views]:
        for video in self._videos:
            if isinstance(video, Skip):
                self.skipped.append(video)
            else:
                yield video


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
    probabilities = model.probabilities(views)
    return reduce(probabilities, "p (b v) k -> p b k", "mean", b=len(clips))


class _Tally:
    """Counts what is named rightly, probe by probe."""

    def __init__(self, probes: Sequence[str], *, num_classes: int) -> None:
        self._probes = probes
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

    def accuracies(self, *, num_views: int, skipped: tuple[Skip, ...]) -> Accuracies:
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
            num_views=num_views,
            skipped=skipped,
        )
