"""How far the ends of a flow are from those of the true one, for models and for rules."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from worldmodel_train.envs.ball_flow import moved
from worldmodel_train.envs.balls import FilmShape, Scene, draw_scene, stack
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.protocols import EstimatesFlow

_SEED = 0xF10
"""Films of a run are drawn from streams of their own, so these are unseen by any."""


@dataclass(frozen=True, kw_only=True)
class MovedPictures:
    """Pictures, those a frame later, and how the pixels have moved."""

    first: UInt8[Tensor, "b h w 3"]
    second: UInt8[Tensor, "b h w 3"]
    flow: Float[Tensor, "b 2 h w"]
    moving: Bool[Tensor, "b h w"]


FlowOf = Callable[[MovedPictures], Float[Tensor, "b 2 h w"]]


@dataclass(frozen=True, kw_only=True)
class EndPointErrors:
    """Means over pixels of all pictures, in pixels."""

    moving: float
    """Where a thing is seen."""
    still: float
    """Everywhere else."""
    everywhere: float


def moved_pictures(scene: Scene, shape: FilmShape, number: int) -> MovedPictures:
    """The first two frames of so many films of a scene, always the same ones."""
    generator = np.random.default_rng(_SEED)
    states = [draw_scene(generator, scene, shape.size) for _ in range(number)]
    pairs = moved(stack(states), scene.laws(shape.fps))
    return MovedPictures(
        first=torch.from_numpy(pairs.first),
        second=torch.from_numpy(pairs.second),
        flow=torch.from_numpy(pairs.flow),
        moving=torch.from_numpy(pairs.moving),
    )


def end_point_errors(found: Float[Tensor, "b 2 h w"], truth: MovedPictures) -> EndPointErrors:
    """The distances between both ends of each pixel's flow."""
    distance = (found.double() - truth.flow.double()).norm(dim=1)
    return EndPointErrors(
        moving=float(distance[truth.moving].mean()),
        still=float(distance[~truth.moving].mean()),
        everywhere=float(distance.mean()),
    )


def model_flow(model: EstimatesFlow, batch_size: int) -> FlowOf:
    """What a model finds, on the CPU."""

    def of(pictures: MovedPictures) -> Float[Tensor, "b 2 h w"]:
        both = zip(pictures.first.split(batch_size), pictures.second.split(batch_size), strict=True)
        with frozen(model) as device:
            return torch.cat(
                [model.flow(one.to(device), other.to(device)).float().cpu() for one, other in both]
            )

    return of


def no_flow(pictures: MovedPictures) -> Float[Tensor, "b 2 h w"]:
    """Nothing moves."""
    return torch.zeros_like(pictures.flow)


def farneback(window: int) -> FlowOf:
    """OpenCV's dense flow by polynomials (Farnebäck 2003) of grey pictures.

    Three sizes of the picture, each half of the one before; `window` is the side in pixels of the
    square over which motion is taken to be the same.
    """

    def of(pictures: MovedPictures) -> Float[Tensor, "b 2 h w"]:
        return torch.from_numpy(
            np.stack(
                [
                    _farneback(one, other, window)
                    for one, other in zip(
                        pictures.first.numpy(), pictures.second.numpy(), strict=True
                    )
                ]
            )
        )

    return of


def _farneback(first: np.ndarray, second: np.ndarray, window: int) -> np.ndarray:
    one, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second))
    start = np.zeros((*one.shape, 2), np.float32)
    flow = cv2.calcOpticalFlowFarneback(
        one, other, start,
        pyr_scale=0.5, levels=3, winsize=window, iterations=5, poly_n=5, poly_sigma=1.1, flags=0,
    )  # fmt: skip
    return np.moveaxis(flow, -1, 0)
