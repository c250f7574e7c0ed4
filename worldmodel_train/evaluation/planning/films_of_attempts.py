"""Moving pictures of attempts: what was seen on the way, beside the goal."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.cartography.tiling import enlarge
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.evaluation.decoding.decoded_pictures import write_gif
from worldmodel_train.evaluation.planning.closed_loop import Attempts, Goals
from worldmodel_train.evaluation.task_result import Gallery, Picture

_FPS, _LEAST_SIDE, _GAP = 6.0, 128, 4


def attempt_galleries(
    world: GoalWorld, goals: Goals, attempts: Attempts, run_dir: Path, folder: str, *, most: int
) -> Iterator[Gallery]:
    """The first goals that were reached, and the first that were not, up to `most` of each."""
    (run_dir / folder).mkdir(parents=True, exist_ok=True)
    numbers = range(len(goals))
    kinds = {
        "reached": [number for number in numbers if attempts.arrival[number] >= 0],
        "not reached": [number for number in numbers if attempts.arrival[number] < 0],
    }
    for kind, chosen in kinds.items():
        if chosen:
            stem = f"{folder}/{kind.replace(' ', '_')}"
            yield Gallery(
                title=f"Goals {kind}",
                shows="What is seen on the way, beside the goal",
                note="Left: the world, action by action. Right: the picture of the goal.",
                pictures=tuple(_films(world, goals, attempts, run_dir, stem, chosen[:most])),
            )


def _films(
    world: GoalWorld,
    goals: Goals,
    attempts: Attempts,
    run_dir: Path,
    stem: str,
    chosen: Sequence[int],
) -> Iterator[Picture]:
    for number in chosen:
        arrival = int(attempts.arrival[number])
        length = arrival + 1 if arrival >= 0 else len(attempts.states)
        frames = _frames(world, attempts.states[:length, number], goals.goals[number])
        file = f"{stem}_{number:03d}.gif"
        write_gif(list(frames), run_dir / file, fps=_FPS)
        height, width = frames.shape[1:3]
        title = f"{arrival} actions" if arrival >= 0 else f"after {length - 1} actions"
        yield Picture(title=title, file=file, width=width, height=height)


def _frames(
    world: GoalWorld, way: Float[ndarray, "t d"], goal: Float[ndarray, "d"]
) -> UInt8[Tensor, "t h w 3"]:
    seen = torch.from_numpy(world.pictures(way))
    asked = torch.from_numpy(world.pictures(goal[None])).expand_as(seen)
    side = max(1, -(-_LEAST_SIDE // seen.shape[1]))
    seen, asked = (
        enlarge(one[None], side * one.shape[1], side * one.shape[2])[0] for one in (seen, asked)
    )
    gap = torch.full((*seen.shape[:2], _GAP, 3), 128, dtype=torch.uint8)
    return torch.cat((seen, gap, asked), dim=2)
