"""How far features of clips move under corruptions, and whether a clip is still found by them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.robustness.corruptions import (
    CORRUPTIONS,
    CorruptionName,
    corrupted,
)

Features: TypeAlias = Callable[[UInt8[Tensor, "b t h w c"]], Float[Tensor, "b d"]]


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """How one kind of features bears one corruption at one strength."""

    drift: float
    """0 unmoved, 1 as far as a clip of another video."""
    retrieval: float
    """Share of clips that are found again."""


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


def measure_robustness(
    features: Mapping[str, Features],
    held_out: FixedClips,
    corruptions: Sequence[CorruptionName],
    *,
    seed: int,
) -> list[Condition]:
    """Every kind of features under every corruption at every strength, in that order."""
    clean = {name: kind(held_out.clips) for name, kind in features.items()}
    conditions = []
    for name in corruptions:
        for strength in CORRUPTIONS[name].strengths:
            worse = corrupted(held_out.clips, name, strength, seed=seed)
            moved = {kind: of(worse) for kind, of in features.items()}
            steadiness = {
                kind: Steadiness(
                    drift=drift(clean[kind], moved[kind], held_out.keys),
                    retrieval=retrieval(clean[kind], moved[kind]),
                )
                for kind in features
            }
            conditions.append(Condition(corruption=name, strength=strength, steadiness=steadiness))
    return conditions


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
