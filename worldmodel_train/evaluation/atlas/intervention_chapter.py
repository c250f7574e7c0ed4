"""Chapter: what the predictor makes of a past that has been edited."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from worldmodel_train.cartography.sparse_autoencoder import SparseAutoencoder
from worldmodel_train.evaluation.atlas.dictionary import train_dictionary
from worldmodel_train.evaluation.atlas.drawing import pushes
from worldmodel_train.evaluation.atlas.feature_steering import (
    Added,
    add,
    add_at_random,
    top_features,
)
from worldmodel_train.evaluation.atlas.films import KnownFilms
from worldmodel_train.evaluation.atlas.foresight import Foresight, look_ahead
from worldmodel_train.evaluation.atlas.page import Chapter, Plate
from worldmodel_train.evaluation.atlas.readers import SHIFT, WEIGHTS, readers_of
from worldmodel_train.evaluation.atlas.steering import ANY, MIXED, RANDOM, Steered, steer
from worldmodel_train.evaluation.atlas.subject import Material
from worldmodel_train.evaluation.task_result import Column, Measured, Row, Table, once
from worldmodel_train.protocols import OpenPredictor

_TITLE = "Interventions"


@dataclass(frozen=True, kw_only=True)
class _Scene:
    name: str
    films: KnownFilms
    foresight: Foresight
    trained: list[Steered]
    untrained: list[Steered]

    @property
    def told(self) -> list[Steered]:
        """The states that predictions tell."""
        return [one for one in self.trained if one.reader.knows]


def intervention_chapter(material: Material) -> Chapter:
    """Known states and features pushed in the first half of films, and what follows from that."""
    trained, untrained = material.models.trained, material.models.untrained
    if not (isinstance(trained, OpenPredictor) and isinstance(untrained, OpenPredictor)):
        text = "This method predicts nothing from the latents of a context, so none are edited."
        return Chapter(title=_TITLE, text=text)
    if _predictors_are_the_same(trained, untrained):
        text = "The predictor is as it was drawn, so what it says follows means nothing."
        return Chapter(title=_TITLE, text=text)
    if trained.token_grid(material.own_clips[:1]).frames < 2:
        return Chapter(title=_TITLE, text="Clips are one tubelet long, so no future follows.")
    edited = min(material.effort.edited, material.effort.films // 4)
    scenes = []
    for name, filmed in material.filmed.items():
        films = filmed.films
        ahead = look_ahead(trained, films.clips, edited=edited)
        drawn = look_ahead(untrained, films.clips, edited=edited)
        scenes.append(
            _Scene(
                name=name,
                films=films,
                foresight=ahead,
                trained=steer(ahead, readers_of(ahead, films.states)),
                untrained=steer(drawn, readers_of(drawn, films.states)),
            )
        )
    return Chapter(
        title=_TITLE,
        text=_TEXT,
        findings=_findings(scenes),
        tables=(
            *(table for scene in scenes for table in (_pushed(scene), _exchanged(scene))),
            *_features(scenes, material.effort.dictionary_steps),
        ),
        plates=tuple(
            Plate(title=f"{_told(one)} ({scene.name})", png=_curves(one))
            for scene in scenes
            for one in scene.trained
        ),
    )


_TEXT = (
    "The first half of each film is encoded, its latents are edited, and the predictor says what "
    "follows; a linear probe of predictions, fitted on films that are not edited, reads the state. "
    "A push adds one direction to all tokens, another in each quarter of the frame; at length 1 as "
    "far as a moment's latents are from the mean of all. There are two ways to find it: the mean "
    "shift of latents with the state, and the weights of the probe that reads it best, which also "
    "cancel what else varies and so need not be how the state is used. To beat: "
    f"{RANDOM} random directions of the same length, {RANDOM} random mixtures of films (ways in "
    "which films differ, as the mean shift with anything would be), and the model before training. "
    "Where predictions do not tell a state, the probe's noise moves."
)


def _predictors_are_the_same(trained: OpenPredictor, untrained: OpenPredictor) -> bool:
    """As for weights of others that come without one."""
    assert isinstance(trained, nn.Module), "a model is one"
    assert isinstance(untrained, nn.Module), "a model is one"
    drawn = untrained.state_dict()
    own = {name: t for name, t in trained.state_dict().items() if name.startswith("predictor.")}
    return bool(own) and all(torch.equal(tensor, drawn[name]) for name, tensor in own.items())


def _findings(scenes: Sequence[_Scene]) -> tuple[str, ...]:
    told = [(f"{_state(one)} ({scene.name})", one) for scene in scenes for one in scene.told]
    if not told:
        return ("No state is told by these predictions, so nothing can be said of what moves it.",)
    moved = [name for name, one in told if one.moves]
    still = [name for name, one in told if not one.moves]
    return (
        f"Moves as it is pushed, further than by luck: {', '.join(moved) or 'none'}.",
        f"Is told but does not: {', '.join(still) or 'none'}.",
    )


def _pushed(scene: _Scene) -> Table:
    return Table(
        caption=f"Pushed, films of {scene.name}: how far what is read moves for a push of length "
        f"1, in standard deviations of the state; {len(scene.foresight.contexts)} films.",
        corner="state",
        columns=(
            Column(name="told by the past"),
            Column(name="told by the prediction"),
            *(Column(name=f"pushed by {way}") for way in (SHIFT, WEIGHTS)),
            *(Column(name=kind) for kind in (ANY, MIXED)),
        ),
        rows=_rows(
            scene,
            lambda one: (
                one.reader.read_from_past,
                one.reader.read_from_future,
                *(one.gain(way).along for way in (SHIFT, WEIGHTS)),
                *(one.gain().band(kind) for kind in (ANY, MIXED)),
            ),
        ),
        remarks=(
            "Told: AUC of an event, accuracy of a class, R² of a value, as in the first table; on "
            "the edited films, before they are edited. Not told: by at most 0.05 better than "
            "chance. Random: what 95 % of them stay below, whichever way.",
        ),
    )


def _exchanged(scene: _Scene) -> Table:
    return Table(
        caption=f"Taken out or swapped along the mean shift, films of {scene.name}: the share of "
        "the way that what is read goes to the mean of all films, or to the film that gave its "
        "part.",
        corner="state",
        columns=tuple(
            Column(name=name, unit="percent")
            for edit in ("taken out", "swapped")
            for name in (edit, ANY, MIXED)
        ),
        rows=_rows(
            scene,
            lambda one: tuple(
                share
                for effect in (one.removed, one.swapped)
                for share in (effect.along, effect.band(ANY), effect.band(MIXED))
            ),
        ),
    )


def _rows(scene: _Scene, numbers: Callable[[Steered], tuple[float, ...]]) -> tuple[Row, ...]:
    return tuple(
        Row(
            name=f"{_told(one)}, {who}",
            cells=tuple(once(number) for number in numbers(one)),
            look="ours" if who == "trained" else "plain",
        )
        for pair in _pairs(scene)
        for who, one in pair
    )


def _pairs(scene: _Scene) -> list[list[tuple[str, Steered]]]:
    """Each state with what both models make of it."""
    before = {_state(one): one for one in scene.untrained}
    return [
        [("trained", one), *([("untrained", before[_state(one)])] if _state(one) in before else [])]
        for one in scene.trained
    ]


def _state(one: Steered) -> str:
    return one.reader.state.name


def _told(one: Steered) -> str:
    return _state(one) if one.reader.knows else f"{_state(one)} (not told)"


def _curves(one: Steered) -> bytes:
    curves = {
        way: dict(sorted({0.0: 0.0, **{s: effect.along for s, effect in found.items()}}.items()))
        for way, found in one.pushed.items()
    }
    bands = {
        f"95 % of {kind}": dict(
            sorted({0.0: 0.0, **{s: e.band(kind) for s, e in one.pushed[SHIFT].items()}}.items())
        )
        for kind in (MIXED, ANY)
    }
    return pushes(curves, bands)


def _features(scenes: Sequence[_Scene], steps: int) -> list[Table]:
    tokens = torch.cat([scene.foresight.contexts.flatten(0, 1) for scene in scenes])
    dictionary, explained = train_dictionary(tokens, steps=steps, seed=0)
    return [_feature_table(scene, dictionary, explained) for scene in scenes]


def _feature_table(scene: _Scene, dictionary: SparseAutoencoder, explained: float) -> Table:
    ahead, seen = scene.foresight, scene.foresight.past.shape[1]
    events = {name: at[ahead.fitted :, :seen] for name, at in scene.films.events.items()}
    told = [one.reader for one in scene.told]
    rows = {
        f"{number}: {what}": [add(ahead, dictionary.directions[number].detach(), told)]
        for number, what in top_features(dictionary, ahead, events).items()
    }
    rows[f"{RANDOM} random directions"] = add_at_random(ahead, told)
    return Table(
        caption=f"Features added to every token of the past, films of {scene.name}, length 1; of a "
        "sparse autoencoder of these latents, which explains "
        f"{100 * explained:.0f} % of their variance.",
        corner="feature",
        columns=(
            Column(name="change of the prediction"),
            Column(name="cosine with the one before"),
            *(Column(name=f"moves {reader.state.name}") for reader in told),
        ),
        rows=tuple(
            Row(name=name, cells=_added(found), look="plain" if len(found) == 1 else "apart")
            for name, found in rows.items()
        ),
        remarks=(
            "Change: root mean square, as a share of how far predictions are from their mean; the "
            "cosine is without that mean. Moves: whichever way, in standard deviations; states "
            "that predictions do not tell are left out.",
        ),
    )


def _added(found: Sequence[Added]) -> tuple[Measured, ...]:
    numbers = [(one.change, one.cosine, *one.states) for one in found]
    return tuple(Measured(values=values) for values in zip(*numbers, strict=True))
