"""A part of the background that shows other noise in each frame: a television without a station.

Nothing tells it beforehand: each of its cells has a colour of its own, which no cell beside it and
no frame before has to do with. A cell is an eighth of the picture, so that of tokens as large none
knows anything of its neighbours either.
"""

import numpy as np
from jaxtyping import Float, Integer, UInt8
from numpy import ndarray

from worldmodel_train.envs.ball_physics import State

CELLS = 8
"""To a side of the picture."""


def with_noise(state: State, frames: int) -> UInt8[ndarray, "*#b f h w 3"]:
    """The backgrounds of a film that begins with `state`; one for all frames without a television.

    A longer film begins as a shorter one does.
    """
    background = state.background[..., None, :, :, :]
    if not state.television.any():
        return background
    size = background.shape[-2]
    shown = np.broadcast_to(
        background, (*state.television.shape[:-1], frames, size, size, 3)
    ).copy()
    for scene in np.ndindex(state.television.shape[:-1]):
        rectangle = state.television[scene]
        left, top, right, bottom = np.ceil(rectangle * size).astype(int)
        first = np.rint(rectangle[:2] * CELLS).astype(int)
        columns = np.arange(left, right) * CELLS // size - first[0]
        rows = np.arange(top, bottom) * CELLS // size - first[1]
        colours = _noise(np.asarray(state.noise[scene]), rectangle, frames)
        shown[scene][:, top:bottom, left:right] = colours[:, rows[:, None], columns]
    return shown


def mean_colours(states: State, frames: int) -> Float[ndarray, "*b f 3"]:
    """Of the noise in each frame, from 0 to 1; `states` have an axis of frames."""
    scenes = states.television.shape[:-2]
    colours = np.zeros((*scenes, frames, 3))
    for scene in np.ndindex(scenes):
        rectangle = states.television[scene][0]
        if rectangle.any():
            noise = _noise(np.asarray(states.noise[scene][0]), rectangle, frames)
            colours[scene] = noise.mean(axis=(1, 2)) / 255
    return colours


def _noise(
    seed: Integer[ndarray, ""], rectangle: Float[ndarray, "4"], frames: int
) -> UInt8[ndarray, "f cells cells 3"]:
    cells = np.rint((rectangle[2] - rectangle[0]) * CELLS).astype(int)
    generator = np.random.default_rng(int(seed))
    # as bytes they would be drawn by fours, and a longer film would not begin alike
    return generator.integers(256, size=(frames, cells, cells, 3)).astype(np.uint8)
