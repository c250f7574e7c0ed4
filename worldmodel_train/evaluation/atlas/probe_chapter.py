"""Chapter: how well a linear map reads what is known from latents."""

from worldmodel_train.evaluation.atlas.page import Chapter
from worldmodel_train.evaluation.atlas.subject import Filmed, Material
from worldmodel_train.evaluation.atlas.tubelets import (
    mean_of_moments,
    pixels_of_moments,
    quarters_of_moments,
)
from worldmodel_train.evaluation.task_result import Column, Measured, Row, Table, once
from worldmodel_train.probes.states import state_scores

_SCORED = {"event": "AUC", "class": "accuracy", "value": "R²"}
_TRAINED, _PIXELS = "trained encoder, 2x2", "8x8 pixels, this tubelet and the one before"


def probe_chapter(material: Material) -> Chapter:
    """A table for each scene."""
    tables: list[Table] = []
    lost: dict[str, list[str]] = {}
    for name, filmed in material.filmed.items():
        table = _table(name, filmed, material.effort.splits)
        tables.append(table)
        for column, rival in _lost(table):
            lost.setdefault(rival, []).append(column)
    return Chapter(
        title="Known states",
        text="How well ridge regression reads, from what the encoder makes of one tubelet, what "
        "the simulator knows of it, on films that were not trained on; ± over splits of the "
        "films. To beat: the encoder before training, small pixels, the same probe given other "
        "films' states, and chance. An encoder sees the whole clip, pixels only two tubelets.",
        findings=tuple(
            f"The trained encoder (2x2) reads no better than {rival}: {', '.join(states)}."
            for rival, states in lost.items()
        )
        or ("Nowhere does the trained encoder (2x2) lose to one of these.",),
        tables=tuple(tables),
    )


def _table(name: str, filmed: Filmed, splits: int) -> Table:
    states, moments = filmed.films.states, filmed.trained.shape[1]
    quarters = quarters_of_moments(filmed.trained)
    features = {
        _TRAINED: quarters,
        "trained encoder, mean": mean_of_moments(filmed.trained),
        "untrained encoder, 2x2": quarters_of_moments(filmed.untrained),
        "untrained encoder, mean": mean_of_moments(filmed.untrained),
        _PIXELS: pixels_of_moments(filmed.films.clips, moments),
    }
    scores = {of: state_scores(found, states, splits=splits) for of, found in features.items()}
    scores["trained encoder, 2x2, states of other films"] = state_scores(
        quarters, states, splits=splits, shuffled=True
    )
    rows = [
        Row(
            name=of,
            cells=tuple(Measured(values=found[state.name]) for state in states),
            look="ours" if of == _TRAINED else "plain",
        )
        for of, found in scores.items()
    ]
    chances = tuple(once(state.chance) for state in states)
    rows.append(Row(name="chance", cells=chances, look="apart"))
    return Table(
        caption=f"Films of {name}: {len(quarters)} films of {moments} tubelets.",
        corner="features",
        columns=tuple(
            Column(name=f"{state.name} ({_SCORED[state.kind]})", best_is_marked=True)
            for state in states
        ),
        rows=tuple(rows),
    )


def _lost(table: Table) -> list[tuple[str, str]]:
    """The columns in which the first row's mean is not the highest, and whose is."""
    ours, *others = table.rows
    lost = []
    for place, column in enumerate(table.columns):
        best = max(others, key=lambda row: row.cells[place].mean)
        if not ours.cells[place].mean > best.cells[place].mean:
            lost.append((column.name, best.name))
    return lost
