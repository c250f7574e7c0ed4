"""What a model imagines of its plans, above what is seen when they are done."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import pad

from worldmodel_train.cartography.tiling import enlarge, tile
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.planning.closed_loop import Attempts
from worldmodel_train.evaluation.planning.first_plans import FirstPlans
from worldmodel_train.evaluation.planning.pilots import ModelPilot, latents_of
from worldmodel_train.planners.energies import Apart, Distance, nearness
from worldmodel_train.protocols import RendersFrames

_MOST_SEEN, _LEAST_SIDE, _EDGE = 512, 64, 128
_COLUMNS = "A column is an action; the first is the start, the last the goal's picture."
_DONE = "what is seen when the plan is done to its end without looking."


@dataclass(frozen=True, kw_only=True)
class Strips:
    """A sheet of rows of pictures for each plan, and what the rows are."""

    note: str
    sheets: Iterator[UInt8[Tensor, "h w 3"]]


def nearest_strips(
    pilot: ModelPilot, plans: FirstPlans, attempts: Attempts, distance: Distance | Apart
) -> Strips:
    """For who has no decoder: the nearest picture that was seen stands for what is imagined."""
    bank = seen_states(attempts, _MOST_SEEN)
    nearest = nearest_seen(pilot, plans.imagined.flatten(0, 1), bank, distance)
    imagined = nearest.reshape(plans.states[:, 1:].shape)
    goals = pilot.goals[: len(plans.states), None]
    above = np.concatenate((plans.states[:, :1], imagined, goals), axis=1)
    return Strips(
        note=f"{_COLUMNS} Top: for each latent that was imagined, the nearest of {len(bank)} "
        "pictures that were seen in the attempts, as there is no decoder; what was never seen "
        f"cannot be shown. Bottom: {_DONE}",
        sheets=_sheets(_seen(pilot.world, above), _seen_when_done(pilot, plans)),
    )


def decoded_strips(pilot: ModelPilot, plans: FirstPlans, decoder: RendersFrames) -> Strips:
    """What a decoder makes of latents that are imagined, and of those of what is seen."""
    start = latents_of(pilot.model, pilot.world, plans.states[:, 0]).float().cpu()[:, None]
    goal = plans.goals[:, None]
    imagined, realised = (
        decoded(decoder, torch.cat((start, between, goal), dim=1))
        for between in (plans.imagined, plans.realised)
    )
    return Strips(
        note=f"{_COLUMNS} Top: imagined, decoded: what a decoder, which was trained on latents of "
        "what is seen, paints of those that are imagined. Middle: done, decoded: the same of the "
        "latents of what is seen when the plan is done; what is wrong here is the decoder's fault, "
        f"or what latents do not tell. Bottom: {_DONE}",
        sheets=_sheets(imagined, realised, _seen_when_done(pilot, plans)),
    )


def seen_states(attempts: Attempts, most: int) -> Float[ndarray, "n p"]:
    """The different states of all attempts, `most` evenly spread ones where there are more."""
    different = np.unique(attempts.states.reshape(-1, attempts.states.shape[-1]), axis=0)
    count = min(most, len(different))
    return different[np.linspace(0, len(different) - 1, count).round().astype(int)]


def nearest_seen(
    pilot: ModelPilot,
    latents: Float[Tensor, "n d"],
    bank: Float[ndarray, "k p"],
    distance: Distance | Apart,
) -> Float[ndarray, "n p"]:
    """For each latent the state of the bank whose picture has the nearest one."""
    known = latents_of(pilot.model, pilot.world, bank).float().cpu()[None, :, None]
    nearest = [int(nearness(one[None], distance)(known, known).argmin()) for one in latents]
    return bank[nearest]


def decoded(decoder: RendersFrames, latents: Float[Tensor, "b t d"]) -> UInt8[Tensor, "b t h w c"]:
    """The picture of each latent, on the CPU."""
    with frozen(decoder) as device:
        pictures = decoder.render(latents.flatten(0, 1).to(device))
    return pictures.cpu().unflatten(0, latents.shape[:2])


def _seen(world: GoalWorld, states: Float[ndarray, "b t p"]) -> UInt8[Tensor, "b t h w 3"]:
    return torch.from_numpy(world.pictures(states))


def _seen_when_done(pilot: ModelPilot, plans: FirstPlans) -> UInt8[Tensor, "b t h w 3"]:
    goals = pilot.goals[: len(plans.states), None]
    return _seen(pilot.world, np.concatenate((plans.states, goals), axis=1))


def _sheets(*rows: UInt8[Tensor, "b t h w 3"]) -> Iterator[UInt8[Tensor, "h w 3"]]:
    for shown in torch.stack(rows, dim=1):
        height, width = shown.shape[2:4]
        times = -(-_LEAST_SIDE // height)
        large = enlarge(shown, times * height, times * width)
        # worlds may be as white as the gaps between tiles
        yield tile(pad(large, (0, 0, 1, 1, 1, 1), value=_EDGE))
