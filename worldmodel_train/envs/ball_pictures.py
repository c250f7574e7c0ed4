"""How the things of `ball_physics` look: shapes from signed distances, with blended edges."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from worldmodel_train.envs.ball_physics import State

SOLID = (40, 40, 40)
SCREEN = (90, 90, 110)
PLAIN = (225, 225, 225)

_Distance = Callable[[ndarray, ndarray], ndarray]


def _box(x: ndarray, y: ndarray, across: float, down: float) -> ndarray:
    return np.maximum(np.abs(x) - across, np.abs(y) - down)


_DISTANCES: dict[str, _Distance] = {
    "disc": lambda x, y: np.hypot(x, y) - 1,
    "square": lambda x, y: _box(x, y, 0.7, 0.7),
    "triangle": lambda x, y: np.maximum(y - 0.5, 0.866 * np.abs(x) - 0.5 * (y + 1)),
    "cross": lambda x, y: np.minimum(_box(x, y, 0.95, 0.3), _box(x, y, 0.3, 0.95)),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.25,
    "bar": lambda x, y: _box(x, y, 0.95, 0.3),
    "diamond": lambda x, y: 0.707 * (np.abs(x) + np.abs(y) - 1),
    "hexagon": lambda x, y: np.maximum(0.866 * np.abs(x) + 0.5 * np.abs(y), np.abs(y)) - 0.866,
}
"""How far (x, y) is outside each shape, in units of the radius; all lie within the unit disc."""

SHAPES = tuple(_DISTANCES)


def draw(state: State) -> UInt8[ndarray, "*b h w 3"]:
    """Pictures as large as the background; later things lie over earlier ones.

    The solid rectangle is behind all things, the screen before all. A pixel of which the screen
    covers a part shows no thing: blending would let a thing shine through that is all behind it.
    """
    size = state.background.shape[-2]
    assert state.background.shape[-3] == size, "pictures are square"
    hidden = _covered(state.screen, size)
    still = state.background.astype(np.float32)
    for cover, colour in ((_covered(state.solid, size), SOLID), (hidden, SCREEN)):
        still += cover[..., None] * (np.array(colour, np.float32) - still)
    scenes = np.broadcast_shapes(still.shape[:-3], state.place.shape[:-2])
    pictures = np.broadcast_to(np.rint(still).astype(np.uint8), (*scenes, size, size, 3)).copy()
    things = (*scenes, state.place.shape[-2])
    _draw_things(
        pictures.reshape(-1, size, size, 3),
        np.broadcast_to(hidden < 1e-3, (*scenes, size, size)).reshape(-1, size, size),
        np.broadcast_to(state.place, (*things, 2)).reshape(-1, things[-1], 2),
        np.broadcast_to(state.radius, things).reshape(-1, things[-1]),
        np.broadcast_to(state.shape, things).reshape(-1, things[-1]),
        np.broadcast_to(state.colour, (*things, 3)).reshape(-1, things[-1], 3),
    )
    return pictures


def texture(generator: np.random.Generator, size: int) -> UInt8[ndarray, "h w 3"]:
    """A smooth random picture in quiet colours."""
    picture = np.full((size, size, 3), 170.0)
    for cells, strength in ((3, 40), (9, 20)):
        weights = np.maximum(
            1 - np.abs(np.linspace(0, cells, size)[:, None] - np.arange(cells + 1)), 0
        )
        grey = generator.uniform(-strength, strength, (cells + 1, cells + 1, 1))
        tint = generator.uniform(-strength / 3, strength / 3, (cells + 1, cells + 1, 3))
        picture += np.einsum("hi,ijc,wj->hwc", weights, grey + tint, weights, optimize=True)
    return np.rint(picture).astype(np.uint8)


def _draw_things(
    pictures: UInt8[ndarray, "n h w 3"],
    shown: Bool[ndarray, "n h w"],
    place: Float[ndarray, "n k 2"],
    radius: Float[ndarray, "n k"],
    shape: Int[ndarray, "n k"],
    colour: Float[ndarray, "n k 3"],
) -> None:
    """Blends each thing into the patch of pixels around it, where `shown`."""
    size = pictures.shape[1]
    reach = min(size, 2 * int(np.ceil(radius.max() * size)) + 3)
    corner = np.floor(place * size).astype(np.int64) - reach // 2
    corner = np.clip(corner, 0, size - reach)
    pixels = corner[..., None] + np.arange(reach)
    offset = (pixels + 0.5) / size - place[..., None]
    cover = _shape_cover(offset.astype(np.float32), radius.astype(np.float32), shape, size)
    rows = np.arange(len(pictures))[:, None, None]
    for k in range(place.shape[1]):
        where = rows, pixels[:, k, 1, :, None], pixels[:, k, 0, None, :]
        under = pictures[where].astype(np.float32)
        blend = (cover[:, k] * shown[where])[..., None]
        over = colour[:, k, None, None].astype(np.float32)
        pictures[where] = np.rint(under + blend * (over - under)).astype(np.uint8)


def _shape_cover(
    offset: Float[ndarray, "n k 2 p"],
    radius: Float[ndarray, "n k"],
    shape: Int[ndarray, "n k"],
    size: int,
) -> Float[ndarray, "n k p p"]:
    """How much of each pixel a thing covers; `offset` is that of the pixels' middles from its."""
    cover = np.empty((*radius.shape, offset.shape[-1], offset.shape[-1]), np.float32)
    for number in np.unique(shape):
        these = shape == number
        scale = np.maximum(radius[these], 1e-6)[:, None, None]
        x, y = offset[these, 0, None, :] / scale, offset[these, 1, :, None] / scale
        distance = _DISTANCES[SHAPES[number]](x, y)
        cover[these] = np.clip(0.5 - distance * scale * size, 0, 1) * (scale > 1e-6)
    return cover


def _covered(rectangle: Float[ndarray, "*b 4"], size: int) -> Float[ndarray, "*b h w"]:
    """How much of each pixel lies in a rectangle."""
    edges = np.arange(size + 1) / size
    across, down = (
        np.diff(np.clip(edges, rectangle[..., i, None], rectangle[..., i + 2, None])) * size
        for i in (0, 1)
    )
    return (down[..., :, None] * across[..., None, :]).astype(np.float32)
