"""Writes random walks in two rooms as episodes.

    make="python -m benchmarks.learning.two_room_episodes"
    $make $WMT_DATA/two_rooms
    $make $WMT_DATA/two_rooms/held_out --walks 100 --seed 1

The recipe `leworldmodel_two_rooms` reads both, and trains on the first.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.learning.leworldmodel import Settings, random_walks
from worldmodel_train.data.trajectories.episode import Episode, episode_of
from worldmodel_train.data.trajectories.write import write_episodes


def main(
    out: Annotated[Path, typer.Argument(help="A folder to write shards into.")],
    walks: Annotated[int, typer.Option(min=1, help="Episodes.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of starts and actions.")] = 0,
) -> None:
    """Write episodes of 20 pictures, 19 actions and the disc's positions."""
    shards = write_episodes(out, episodes(Settings(seed=seed, walks=walks)))
    typer.echo(f"{walks} episodes in {len(shards)} shards: {out}")


def episodes(settings: Settings) -> Iterator[Episode]:
    """The walks, one by one."""
    content = random_walks(settings)
    assert content.states is not None
    arrays = (content.observations, content.actions, content.states)
    for observations, actions, states in zip(*arrays, strict=True):
        yield episode_of(
            {
                "observations": observations.numpy(),
                "actions": actions.numpy().astype(np.float32),
                "states": states.numpy(),
            }
        )


if __name__ == "__main__":
    typer.run(main)
