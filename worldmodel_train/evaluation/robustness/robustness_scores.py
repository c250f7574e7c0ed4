"""How far features of clips move under corruptions, and what is still told from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.probing.probe_suite import group_splits
from worldmodel_train.evaluation.robustness.corruptions import (
    CORRUPTIONS,
    CorruptionName,
    corrupted,
)
from worldmodel_train.probes.linear import linear_labels

Features: TypeAlias = Callable[[UInt8[Tensor, "b t h w c"]], Float[Tensor, "b d"]]

SPLITS = 3  # each holds out a third of the videos


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """How one kind of features bears one corruption at one strength."""

    drift: float
    """0 unmoved, 1 as far as a clip of another video."""
    retrieval: float
    """Share of clips that are found again."""
    accuracy: float | None
    """Share of clips whose class a probe of clean clips names; None without classes."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One corruption at one strength, and what it does to each kind of features."""

    corruption: CorruptionName
    strength: float
    steadiness: Mapping[str, Steadiness]

    @property
    def shown(self) -> str:
        """What the report calls it."""
        return CORRUPTIONS[self.corruption].shown.format(f"{self.strength:g}")

    @property
    def is_middle(self) -> bool:
        """Whether it is the middle one of the five strengths."""
        return self.strength == CORRUPTIONS[self.corruption].strengths[2]


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What was measured of every kind of features."""

    conditions: list[Condition]
    clean_accuracy: Mapping[str, float] | None
    """Of the same probe on the same clips, not corrupted; None without classes."""
    chance: float | None
    """Share of the commonest class."""


def measure_robustness(
    features: Mapping[str, Features],
    held_out: FixedClips,
    corruptions: Sequence[CorruptionName],
    *,
    seed: int,
) -> Robustness:
    """Every kind of features under every corruption at every strength, in that order.

    Where clips have one class each, of videos enough to hold a third out, a probe is asked too.
    """
    tried: list[tuple[CorruptionName, float]] = [
        (name, strength) for name in corruptions for strength in CORRUPTIONS[name].strengths
    ]
    clean = {kind: of(held_out.clips) for kind, of in features.items()}
    moved: dict[str, list[Tensor]] = {kind: [] for kind in features}
    for name, strength in tried:
        worse = corrupted(held_out.clips, name, strength, seed=seed)
        for kind, of in features.items():
            moved[kind].append(of(worse))
    labels = _one_class_each(held_out)
    told = (
        {kind: probe_accuracies(clean[kind], moved[kind], labels, held_out.keys) for kind in clean}
        if labels is not None
        else None
    )

    def steadiness(kind: str, number: int) -> Steadiness:
        return Steadiness(
            drift=drift(clean[kind], moved[kind][number], held_out.keys),
            retrieval=retrieval(clean[kind], moved[kind][number]),
            accuracy=None if told is None else told[kind][1 + number],
        )

    return Robustness(
        conditions=[
            Condition(
                corruption=name,
                strength=strength,
                steadiness={kind: steadiness(kind, number) for kind in features},
            )
            for number, (name, strength) in enumerate(tried)
        ],
        clean_accuracy=None if told is None else {kind: one[0] for kind, one in told.items()},
        chance=None if labels is None else float(labels.bincount().max() / len(labels)),
    )


def _one_class_each(held_out: FixedClips) -> Int[Tensor, "b"] | None:
    labels = held_out.class_numbers
    if labels is None or labels.dtype == torch.bool or len(set(held_out.keys)) < SPLITS:
        return None
    return labels


def probe_accuracies(
    clean: Float[Tensor, "b d"],
    moved: Sequence[Float[Tensor, "b d"]],
    labels: Int[Tensor, "b"],
    videos: Sequence[str],
) -> list[float]:
    """How often a linear probe names a clip's class: a clean one's, then of each of `moved`.

    It learns from clean clips, and is asked about those of the videos that were held out of them.
    Means over splits that hold out different videos.
    """
    names = sorted(set(videos))
    groups = torch.tensor([names.index(video) for video in videos])
    splits = []
    for test in group_splits(groups, splits=SPLITS, held_out=len(names) // SPLITS):
        asked = torch.cat([one[test] for one in (clean, *moved)])
        named = linear_labels(clean[~test], labels[~test], asked).reshape(1 + len(moved), -1)
        splits.append((named == labels[test]).double().mean(dim=1))
    return torch.stack(splits).mean(dim=0).tolist()


def drift(clean: Float[Tensor, "b d"], moved: Float[Tensor, "b d"], videos: Sequence[str]) -> float:
    """The mean distance that clips moved, over the mean one between clips of different videos.

    0 is unmoved and 1 as far as to another video's clip; it has no upper end. NaN or infinite where
    all videos have the same features, as those of an encoder that collapsed.
    """
    clean, moved = clean.double(), moved.double()
    other = torch.tensor([[one != another for another in videos] for one in videos])
    apart = torch.cdist(clean, clean, compute_mode="donot_use_mm_for_euclid_dist")[other]
    return float((moved - clean).norm(dim=1).mean() / apart.mean())


def retrieval(clean: Float[Tensor, "b d"], moved: Float[Tensor, "b d"]) -> float:
    """The share of moved clips to which, of all clean clips, their own is nearest by cosine.

    Both are centred by the mean of the clean ones. Chance is 1 / b.
    """
    centre = clean.double().mean(dim=0)
    clean, moved = (normalize(one.double() - centre, dim=1) for one in (clean, moved))
    nearest = (moved @ clean.T).argmax(dim=1)
    return float((nearest == torch.arange(len(clean))).double().mean())
