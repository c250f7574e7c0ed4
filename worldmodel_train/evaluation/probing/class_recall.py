"""Mean-class recall at 5, of each kind of class: how EPIC-KITCHENS-100 judges anticipation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from worldmodel_train.evaluation.bootstrap import interval_over_draws
from worldmodel_train.evaluation.probing.classification_scores import TOP, NamedVideos


@dataclass(frozen=True, kw_only=True)
class ProbeRecall:
    """Of one probe and one kind of class."""

    recall: float
    """The mean over classes of the share of a class's clips that have it among the five likeliest
    of all classes that some clip has."""
    of_all: float
    """The same among the five likeliest of all classes that there are."""


@dataclass(frozen=True, kw_only=True)
class KindRecall:
    """Of one kind of class."""

    probes: tuple[ProbeRecall, ...]
    """In the order of the model's."""
    interval: tuple[float, float]
    """Of the highest recall, 95 %, by drawing the clips anew."""
    num_clips: int
    num_present: int
    """Classes that some clip has."""
    num_classes: int

    @property
    def best(self) -> int:
        """Which probe has the highest recall."""
        return _best(self.probes)


def measure_recalls(named: NamedVideos, kinds: Mapping[str, slice]) -> dict[str, KindRecall]:
    """The recall of each kind, over all videos.

    Raises:
        ValueError: A video has no class of a kind, or two.
    """
    tallies = {kind: _Tally(kind, where.stop - where.start) for kind, where in kinds.items()}

    def take(probabilities: Tensor, labels: Tensor) -> None:
        for kind, where in kinds.items():
            tallies[kind].add(probabilities[..., where], labels[:, where])

    named.go_through(take)
    return {kind: tally.recall(named) for kind, tally in tallies.items()}


class _Tally:
    """Which classes come before the true one, by each probe, of one kind."""

    def __init__(self, kind: str, num_classes: int) -> None:
        self._kind = kind
        self._num_classes = num_classes
        self._before: list[Bool[Tensor, "p b k"]] = []
        self._true: list[Int64[Tensor, "b"]] = []

    def add(self, probabilities: Float[Tensor, "p b k"], labels: Bool[Tensor, "b k"]) -> None:
        counts = labels.sum(-1).tolist()
        if any(count != 1 for count in counts):
            wrong = next(count for count in counts if count != 1)
            raise ValueError(
                f"a clip of data.held_out has {wrong} labels of the kind '{self._kind}'; "
                "give each clip one of each kind"
            )
        true = labels.long().argmax(-1)
        self._before.append(classes_before(probabilities, true))
        self._true.append(true)

    def recall(self, named: NamedVideos) -> KindRecall:
        true = named.of_all(self._true, dim=0)
        present = true.bincount(minlength=self._num_classes) > 0
        # ranks tell each other what was found, not what came before: that is classes times as much
        found = named.of_all([(one & present).sum(-1) < TOP for one in self._before], dim=1)
        of_all = named.of_all([one.sum(-1) < TOP for one in self._before], dim=1)
        probes = [
            ProbeRecall(
                recall=float(mean_class_recall(row, true)),
                of_all=float(mean_class_recall(row_of_all, true)),
            )
            for row, row_of_all in zip(found, of_all, strict=True)
        ]
        best = found[_best(probes)]
        return KindRecall(
            probes=tuple(probes),
            interval=interval_over_draws(lambda d: mean_class_recall(best[d], true[d]), len(true)),
            num_clips=len(true),
            num_present=int(present.sum()),
            num_classes=len(present),
        )


def _best(probes: Sequence[ProbeRecall]) -> int:
    return max(range(len(probes)), key=lambda probe: probes[probe].recall)


def classes_before(
    probabilities: Float[Tensor, "p b k"], true: Int64[Tensor, "b"]
) -> Bool[Tensor, "p b k"]:
    """Which classes are likelier than the true one; of equal ones those that stand before it.

    Where probabilities are NaN all are, so that nothing is found by a probe that has diverged.
    """
    of_true = probabilities.gather(-1, true.expand(len(probabilities), -1)[..., None])
    stands_behind = torch.arange(probabilities.shape[-1]) >= true[:, None]
    return ~((probabilities < of_true) | ((probabilities == of_true) & stands_behind))


def mean_class_recall(found: Bool[Tensor, " n"], true: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    """The mean, over the classes that there are, of the share of clips that are found."""
    counts = true.bincount()
    right = true.bincount(weights=found.double(), minlength=len(counts))
    return (right[counts > 0] / counts[counts > 0]).mean()


def chance(num_classes: int) -> float:
    """The recall of five classes drawn blindly, and of always the same five."""
    return min(1.0, TOP / num_classes)


def probes_by_recall(recalls: Sequence[KindRecall]) -> list[int]:
    """Numbers of the probes, the best by the last kind first."""
    last = recalls[-1].probes
    return sorted(range(len(last)), key=lambda probe: -last[probe].recall)
