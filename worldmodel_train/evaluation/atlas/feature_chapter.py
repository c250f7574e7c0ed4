"""Chapters: features that a sparse autoencoder finds, and what they do around events."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.cartography.event_alignment import areas, around, luckiest_area
from worldmodel_train.cartography.tiling import enlarge, tile, tubelet_frames
from worldmodel_train.evaluation.atlas.dictionary import activations, train_dictionary
from worldmodel_train.evaluation.atlas.drawing import heat, histogram, lines, picture
from worldmodel_train.evaluation.atlas.page import Chapter, Plate
from worldmodel_train.evaluation.atlas.subject import Material
from worldmodel_train.evaluation.task_result import Column, Row, Table, once
from worldmodel_train.types import TokenGrid

_TOP_CLIPS = 4
_SHUFFLES = 5
_BY_EVENT = 2  # features that are shown for each event


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """A feature chosen on one half of the films for an event, and measured on the other."""

    scene: str
    event: str
    feature: int
    area: float
    """On the half on which it was not chosen."""
    luck: float
    """The same of the best feature for other films' events, on the half it is chosen on."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """A trained dictionary over the films."""

    active: dict[str, Float[Tensor, "v t y x f"]]
    """By scene."""
    explained: float
    aligned: tuple[Aligned, ...]


def find_features(material: Material) -> Features:
    """Trains the dictionary on all tokens, and finds the features that go with each event."""
    volumes = [*(one.trained for one in material.filmed.values()), material.own]
    tokens = torch.cat([rearrange(one, "v t y x d -> (v t y x) d") for one in volumes])
    model, explained = train_dictionary(tokens, steps=material.effort.dictionary_steps, seed=0)
    active = {name: activations(model, one.trained) for name, one in material.filmed.items()}
    aligned = tuple(
        found
        for name, one in material.filmed.items()
        for event, happens in one.films.events.items()
        for found in _aligned(name, event, strongest(active[name]), happens)
    )
    return Features(active=active, explained=explained, aligned=aligned)


def strongest(active: Float[Tensor, "v t y x f"]) -> Float[ndarray, "v t f"]:
    """Of each tubelet the highest activation."""
    return reduce(active, "v t y x f -> v t f", "max").numpy()


def _aligned(
    scene: str, event: str, found: Float[ndarray, "v t f"], happens: Bool[ndarray, "v t"]
) -> list[Aligned]:
    half = len(found) // 2
    chosen_by = areas(found[:half], happens[:half])
    if np.isnan(chosen_by).any() or np.isnan(areas(found[half:, :, :1], happens[half:])).any():
        return []  # it never is, or always
    best = np.argsort(-chosen_by, kind="stable")[:_BY_EVENT]
    measured = areas(found[half:][..., best], happens[half:])
    luck = luckiest_area(found[:half], happens[:half], rounds=_SHUFFLES, seed=0)
    return [
        Aligned(scene=scene, event=event, feature=int(feature), area=float(area), luck=luck)
        for feature, area in zip(best, measured, strict=True)
    ]


def feature_chapter(material: Material, features: Features) -> Chapter:
    """A card for each feature: its clips with heat over the tokens, and how strong it gets."""
    plates: list[Plate] = []
    for one in features.aligned[: material.effort.cards]:
        active = features.active[one.scene][..., one.feature]
        clips = material.filmed[one.scene].films.clips
        title = f"feature {one.feature}, {one.event}"
        plates.append(Plate(title=f"{title}: top clips", png=picture(_strips(clips, active))))
        speaks = active[active > 0].numpy()
        plates.append(Plate(title=f"{title}: strength", png=histogram(speaks)))
    losing = sorted({one.event for one in features.aligned if one.area <= one.luck})
    where = f"it does not for: {', '.join(losing)}" if losing else "here each one does"
    return Chapter(
        title="Features",
        text="A sparse autoencoder trained for this page on the encoder's tokens explains "
        f"{100 * features.explained:.0f} % of their variance. For each event the features that go "
        "with it best on half of the films are measured on the other half: the chance that the "
        "feature is stronger at the event than elsewhere (AUC). To beat: the best of all features "
        "for events of other films, on the half it was picked on, which is what picking gives by "
        f"luck. A feature stands for an event only if it beats that; {where}. Pictures: the clips "
        "where it is strongest, and below each its strength in every token, one scale a card.",
        tables=(_alignment_table(features),),
        plates=tuple(plates),
    )


def _alignment_table(features: Features) -> Table:
    return Table(
        caption="On films on which the feature was not picked.",
        corner="feature",
        columns=(Column(name="AUC"), Column(name="by luck")),
        rows=tuple(
            Row(name=f"{one.feature}: {one.event}", cells=(once(one.area), once(one.luck)))
            for one in features.aligned
        ),
    )


def _strips(
    clips: UInt8[Tensor, "v f h w 3"], active: Float[Tensor, "v t y x"]
) -> UInt8[Tensor, "height width 3"]:
    peaks = reduce(active, "v t y x -> v", "max")
    top = peaks.topk(min(_TOP_CLIPS, len(peaks))).indices
    frames = tubelet_frames(clips[top], TokenGrid(*active.shape[1:]))
    colours = torch.from_numpy(heat(active[top].numpy()))
    rows = torch.stack((frames, enlarge(colours, *frames.shape[2:4])), dim=1)
    return tile(rearrange(rows, "v row t h w c -> (v row) t h w c"))


def curve_chapter(material: Material, features: Features) -> Chapter:
    """For each event a picture of its best feature before and after."""
    plates = []
    for one in features.aligned[::_BY_EVENT]:
        found = strongest(features.active[one.scene])[..., one.feature]
        happens = material.filmed[one.scene].films.events[one.event]
        half, reach = len(found) // 2, found.shape[1] - 1
        mixed = np.random.default_rng(0).permutation(happens[half:])
        curves = {
            f"feature {one.feature}": around(found[half:], happens[half:], reach),
            "events of other films": around(found[half:], mixed, reach),
        }
        plates.append(Plate(title=one.event, png=lines(curves, "mean of the highest activation")))
    return Chapter(
        title="Around events",
        text="The feature that goes best with each event, on films on which it was not picked: "
        "its mean strength in the tubelets before and after. To beat: the same around the moments "
        "of other films. Where the two curves lie together, the feature knows nothing of the "
        "event; where both rise or fall, it knows the place in the clip. Few events lie at the "
        "ends of the curves.",
        plates=tuple(plates),
    )
