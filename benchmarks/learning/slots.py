"""How well slots of a run of renderers/slot_autoencoder hold one thing each.

    wmt pretrain slots_balls && python -m benchmarks.learning.slots

The adjusted Rand index of films: pixels of all frames together, so that who is held by another slot
in the next frame counts as lost. `things` leaves the background out and is over films of two discs
or more, `all` has all pixels. Beside the run stand the same network before training, k-means of the
film's colours, and quarters of the picture. Discs and background have a colour each, so with more
clusters than colours k-means must split something: it is given as many as there are slots, as a
film of the scene has colours at most, and as this very film has, which nobody tells slots.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from benchmarks.learning.slot_worlds import SIZE, random_scenes
from worldmodel_train.cli.objectives import trained_objective, untrained_objective
from worldmodel_train.collection.films import FilmsConfig
from worldmodel_train.envs.balls import Film, film
from worldmodel_train.recipe import load_stored_recipe
from worldmodel_train.renderers.slot_autoencoder import SlotAutoencoder
from worldmodel_train.training.checkpoints.files import RECIPE
from worldmodel_train.training.checkpoints.folder import find_checkpoint

_TRIES = 5  # of k-means, of which the tightest clusters are taken


def things_of(films: Film, radius: ndarray) -> Int[ndarray, "b t h w"]:
    """The number of the disc at each pixel, from 1; 0 where there is none."""
    size = films.pictures.shape[-2]
    at = (np.arange(size) + 0.5) / size
    across = at - films.place[..., 0, None, None]
    down = at[:, None] - films.place[..., 1, None, None]
    inside = np.hypot(across, down) < radius[:, None, :, None, None]
    numbers = np.arange(1, inside.shape[2] + 1).reshape(1, 1, -1, 1, 1)
    return (inside * numbers).max(axis=2)


def agreement(
    found: Int[ndarray, "b t h w"], true: Int[ndarray, "b t h w"]
) -> Mapping[str, ndarray]:
    """The adjusted Rand index of each film, of things alone and of all pixels."""
    of_things, of_all = [], []
    for one, other in zip(found, true, strict=True):
        of_all.append(adjusted_rand_score(other.ravel(), one.ravel()))
        thing = other > 0
        if len(np.unique(other[thing])) > 1:
            of_things.append(adjusted_rand_score(other[thing], one[thing]))
    return {"things": np.array(of_things), "all": np.array(of_all)}


def by_colour(
    pictures: UInt8[ndarray, "b t h w 3"], clusters: Sequence[int]
) -> Int[ndarray, "b t h w"]:
    """So many clusters of the colours of each film."""
    found = []
    for film_colours, count in zip(pictures.reshape(len(pictures), -1, 3), clusters, strict=True):
        # its stubs know the default's type alone
        kmeans = KMeans(count, n_init=_TRIES, random_state=0)  # pyright: ignore[reportArgumentType]
        found.append(kmeans.fit_predict(film_colours))
    return np.stack(found).reshape(pictures.shape[:-1])


def by_quarter(pictures: UInt8[ndarray, "b t h w 3"]) -> Int[ndarray, "b t h w"]:
    """Upper left, upper right, lower left, lower right."""
    size = pictures.shape[-2]
    late = (np.arange(size) >= size // 2).astype(int)
    return np.broadcast_to(2 * late[:, None] + late, pictures.shape[:-1])


def refuse_other_films(data: object) -> FilmsConfig:
    """The films, whose every pixel's thing is known.

    Raises:
        SystemExit: It is not.
    """
    if not isinstance(data, FilmsConfig):
        raise SystemExit("slots are measured in films whose things are known; use data/films")
    scene = data.scene
    if scene.shapes > 1 or scene.screen:
        raise SystemExit(
            f"scene.shapes={scene.shapes}, scene.screen={scene.screen}: the truth is of discs that "
            "nothing hides; name a run with shapes: 1 and screen: false"
        )
    if data.size != SIZE:
        raise SystemExit(f"data.size={data.size}, but scenes are drawn for {SIZE}; use {SIZE}")
    return data


def main(
    run: Annotated[Path, typer.Argument()] = Path("runs/slots_balls"), films: int = 200
) -> None:
    """Prints the table."""
    checkpoint = find_checkpoint(run, "run")
    recipe = load_stored_recipe(checkpoint / RECIPE)
    data = refuse_other_films(recipe.data)
    models = [trained_objective(checkpoint), untrained_objective(recipe)]
    states = random_scenes(data.scene, films, 12)
    shown = film(states, data.scene.laws(data.clip.fps), data.clip.frames)
    truth = things_of(shown, states.radius)
    table = Table("", "things", "all", title=f"{run.name}: {films} films")
    for name, found in _contenders(models, shown.pictures, states.radius > 0).items():
        each = agreement(found, truth)
        cells = (f"{one.mean():.3f} +- {one.std() / len(one) ** 0.5:.3f}" for one in each.values())
        table.add_row(name, *cells)
    Console().print(table)


def _contenders(
    models: Sequence[object],
    pictures: UInt8[ndarray, "b t h w 3"],
    there: Bool[ndarray, "b k"],
) -> Mapping[str, Int[ndarray, "b t h w"]]:
    found: dict[str, ndarray] = {}
    slots = 0
    for name, model in zip(("trained", "untrained"), models, strict=True):
        if not isinstance(model, SlotAutoencoder):
            raise SystemExit(
                "only renderers/slot_autoencoder has slots to measure; name such a run"
            )
        slots = model.config.encoder.slots
        parts = torch.from_numpy(pictures).split(32)
        found[name] = torch.cat([model.eval().segments(part) for part in parts]).numpy()
    films, things = there.shape
    clusters = {
        "colours, as many clusters as slots": [slots] * films,
        "colours, as many as there may be": [things + 1] * films,
        "colours, as many as there are": (1 + there.sum(axis=1)).tolist(),
    }
    found |= {name: by_colour(pictures, counts) for name, counts in clusters.items()}
    return found | {"quarters": by_quarter(pictures)}


if __name__ == "__main__":
    typer.run(main)
