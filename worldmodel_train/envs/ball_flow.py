"""Where each pixel of a scene goes: the true flow, as `ball_physics` moves things."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from worldmodel_train.envs.ball_physics import Laws, State, move
from worldmodel_train.envs.ball_pictures import draw

NOTHING = -1
"""In place of a thing's number, where none is seen."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Two pictures, one frame apart, and how the pixels of the first have moved."""

    first: UInt8[ndarray, "*b h w 3"]
    second: UInt8[ndarray, "*b h w 3"]
    flow: Float[ndarray, "*b 2 h w"]
    """To the right and downwards, in pixels; 0 where no thing is seen."""
    moving: Bool[ndarray, "*b h w"]
    """Where a thing is seen in the first."""


def moved(state: State, laws: Laws) -> Moved:
    """What a frame does to scenes; things do not turn, so all of a thing moves alike."""
    after, _ = move(state, laws)
    size = state.background.shape[-2]
    seen = seen_things(state)
    steps = (after.place - state.place) * size
    # one more that stays where it is, which NOTHING is the number of
    steps = np.concatenate((steps, np.zeros_like(steps[..., :1, :])), axis=-2)
    chosen = seen.reshape(*seen.shape[:-2], size * size, 1) % steps.shape[-2]
    flow = np.moveaxis(np.take_along_axis(steps, chosen, axis=-2), -1, -2)
    return Moved(
        first=draw(state),
        second=draw(after),
        flow=flow.reshape(*flow.shape[:-1], size, size).astype(np.float32),
        moving=seen != NOTHING,
    )


def seen_things(state: State) -> Int[ndarray, "*b h w"]:
    """The number of the thing that covers most of each pixel, or NOTHING.

    Each is drawn alone, in white on black: as `draw` draws it, under the screen if there is one.
    """
    seen = np.full(state.background.shape[:-1], NOTHING)
    for number in range(state.place.shape[-2]):
        alone = replace(
            state,
            place=state.place[..., number, None, :],
            velocity=state.velocity[..., number, None, :],
            radius=state.radius[..., number, None],
            shape=state.shape[..., number, None],
            colour=np.full_like(state.colour[..., number, None, :], 255),
            background=np.zeros_like(state.background),
        )
        seen[draw(alone).min(axis=-1) > 127] = number
    return seen
