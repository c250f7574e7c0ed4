"""How often probes name videos rightly, each video seen several times."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from worldmodel_train.batch import Skip
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.fixed import Views
from worldmodel_train.data.labels import stack_labels
from worldmodel_train.evaluation.bootstrap import bootstrap_interval
from worldmodel_train.evaluation.frozen import frozen, in_batches
from worldmodel_train.evaluation.ranks import ALONE, Ranks, work_together
from worldmodel_train.evaluation.task import Subject
from worldmodel_train.protocols import Classifier

TOP = 5

FoundT = TypeVar("FoundT")


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
    tally = _Tally(named.probe_names)
    named.go_through(tally.add)
    return tally.accuracies(named)


def how_chosen(num_probes: int) -> str:
    """What to know of the best probe's numbers."""
    if num_probes == 1:
        return "There is one, so none was chosen."
    return (
        "Chosen on these same videos, as the published protocol does: of many probes the best is a "
        "little lucky."
    )


class NamedVideos:
    """Videos that are gone through once, and what probes think of them, on the CPU.

    Where there are several ranks, those are this rank's: of all videos that whose number is its
    own, and every so many-th from there on.
    """

    def __init__(
        self,
        model: Classifier,
        videos: Iterable[Views | Skip],
        *,
        num_crops: int,
        batch_size: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self._ranks = ranks
        self._model = model
        self._videos = videos
        self._num_crops = num_crops
        self._batch_size = batch_size
        self.probe_names = tuple(model.probe_names())
        self._numbers: list[int] = []
        self._bad: dict[int, Skip] = {}
        self._order = torch.empty(0, dtype=torch.int64)
        self.skipped: tuple[Skip, ...] = ()
        """Bad videos of all ranks, known once they were gone through."""
        self.num_views = 0
        """Times that each video is seen, known then."""

    @classmethod
    def of(
        cls,
        subject: Subject,
        *,
        times: int = 1,
        crops: int = 1,
        batch_size: int,
        max_films: int = 0,
    ) -> "NamedVideos":
        """All held-out videos of a subject that names them, seen at so many times and places.

        Of films, which have no end, the first `max_films`, each seen once.
        """
        data, model, ranks = subject.data, subject.trained, subject.ranks
        assert isinstance(model, Classifier), "the recipe was checked"
        if isinstance(data, DataConfig):
            assert data.held_out is not None, "the recipe was checked"
            videos = data.each_video(
                data.held_out,
                segments=times * model.num_segments(),
                crops=crops,
                first=ranks.rank,
                every=ranks.world_size,
            )
        else:
            films = subject.held_out_clips(limit=max_films, clips_per_video=1)
            videos = films.as_videos(first=ranks.rank, every=ranks.world_size)
        return cls(model, videos, num_crops=crops, batch_size=batch_size, ranks=ranks)

    @property
    def said_of_skips(self) -> str:
        """A sentence for each reason that videos were left out for; nothing where none were."""
        reasons = Counter(skip.reason for skip in self.skipped)
        return "".join(f" {count} were skipped as {reason}." for reason, count in reasons.items())

    def go_through(self, take: Callable[[Tensor, Tensor], None]) -> None:
        """Gives `take` each probe's probabilities `p b classes` and the labels, batch by batch.

        It returns once all ranks have gone through their videos.

        Raises:
            ValueError: No rank could read a video, or `take` did on any of them.
        """
        work_together(self._ranks, (take(*batch) for batch in self._batches()))
        told = self._ranks.gather((self._numbers, self._bad, self.num_views))
        self._order = torch.tensor([n for numbers, _, _ in told for n in numbers]).argsort()
        bad = {number: skip for _, skips, _ in told for number, skip in skips.items()}
        self.skipped = tuple(bad[number] for number in sorted(bad))
        self.num_views = max(num_views for _, _, num_views in told)
        if not self.num_views:
            last = self.skipped[-1] if self.skipped else "there are none"
            raise ValueError(
                f"data.held_out gave no video that can be read; {len(self.skipped)} were skipped, "
                f"the last as {last}"
            )

    def of_all(self, batches: Sequence[Tensor], *, dim: int) -> Tensor:
        """What all ranks have found of their videos, which count along `dim`, in one order.

        Whatever the number of ranks it is the order of the videos.
        """
        of_ranks = self.by_rank(torch.cat(list(batches), dim=dim) if batches else None)
        return torch.cat(of_ranks, dim=dim).index_select(dim, self._order)

    def by_rank(self, found: FoundT | None) -> list[FoundT]:
        """What each rank has found; a rank without videos has nothing."""
        return [one for one in self._ranks.gather(found) if one is not None]

    def _batches(self) -> Iterator[tuple[Float[Tensor, "p b classes"], Tensor]]:
        with frozen(self._model) as device:
            for batch in in_batches(self._without_skips(), self._batch_size):
                clips = torch.stack([video.clips for video in batch]).to(device)
                self.num_views = clips.shape[1] // self._model.num_segments()
                probabilities = _mean_probabilities(self._model, clips, self._num_crops)
                labels = [one.class_number for one in batch if one.class_number is not None]
                yield probabilities.cpu(), stack_labels(labels)

    def _without_skips(self) -> Iterator[Views]:
        for place, video in enumerate(self._videos):
            number = self._ranks.rank + place * self._ranks.world_size
            if isinstance(video, Skip):
                self._bad[number] = video
            else:
                self._numbers.append(number)
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

    def __init__(self, probes: Sequence[str]) -> None:
        self._probes = probes
        self._counts: _Counts | None = None
        self._right: list[Bool[Tensor, "p b"]] = []
        self._labels: list[Int64[Tensor, "b"]] = []

    def add(self, probabilities: Float[Tensor, "p b k"], labels: Int64[Tensor, "b"]) -> None:
        num_probes, _, num_classes = probabilities.shape
        self._counts = self._counts or _Counts.none(num_probes, num_classes)
        self._counts.add(probabilities, labels)
        self._right.append(probabilities.argmax(-1) == labels)
        self._labels.append(labels)

    def accuracies(self, named: NamedVideos) -> Accuracies:
        right, labels = named.of_all(self._right, dim=1), named.of_all(self._labels, dim=0)
        counts = _Counts.together(named.by_rank(self._counts))
        probes = [
            ProbeAccuracy(
                name=name,
                top1=float(row.float().mean()),
                top5=float(counts.top5[number].compute()),
                per_class=float(counts.per_class[number].compute()),
                interval=bootstrap_interval(row.float()),
            )
            for number, (name, row) in enumerate(zip(self._probes, right, strict=True))
        ]
        return Accuracies(
            probes=tuple(sorted(probes, key=lambda probe: -probe.top1)),
            commonest=float(labels.bincount().max()) / len(labels),
            num_classes=counts.num_classes,
            num_videos=len(labels),
            num_views=named.num_views,
            skipped=named.skipped,
        )


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """What torchmetrics counts of each probe; counts of several ranks add up."""

    num_classes: int
    top5: list[MulticlassAccuracy]
    per_class: list[MulticlassAccuracy]

    @classmethod
    def none(cls, num_probes: int, num_classes: int) -> "_Counts":
        top, probes = min(TOP, num_classes), range(num_probes)
        return cls(
            num_classes=num_classes,
            top5=[MulticlassAccuracy(num_classes, top_k=top, average="micro") for _ in probes],
            per_class=[MulticlassAccuracy(num_classes, average="macro") for _ in probes],
        )

    @classmethod
    def together(cls, counts: "Sequence[_Counts]") -> "_Counts":
        first, *others = counts
        for other in others:
            for sums, more in ((first.top5, other.top5), (first.per_class, other.per_class)):
                for metric, added in zip(sums, more, strict=True):
                    metric.merge_state(added)
        return first

    def add(self, probabilities: Float[Tensor, "p b k"], labels: Int64[Tensor, "b"]) -> None:
        for probe, probability in enumerate(probabilities):
            self.top5[probe].update(probability, labels)
            self.per_class[probe].update(probability, labels)
