"""Two rooms and a door: the smallest world in which the straight way to a goal may be a wall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.envs.disc_rooms import (
    LAYOUT,
    LOOK,
    Layout,
    Look,
    draw,
    draw_free,
    free,
    move,
    toward,
)

FactorsT = TypeVar("FactorsT", "Layout", "Look")


class TwoRooms(gymnasium.Env[UInt8[ndarray, "h w 3"], Float[ndarray, "2"]]):
    """One disc that looks for a goal; `info` has `state` and `goal`, the picture has no goal.

    The reward is minus the distance to the goal; an episode ends within `goal_radius` of it (0:
    never). `layout` and `look` are what may differ from world to world; mappings name what does.
    Where `start` is given, every episode begins there. `reset` takes `options={"start": (x, y),
    "goal": (x, y)}`; what is left out is drawn.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # gymnasium's

    def __init__(
        self,
        *,
        size: int = 64,
        layout: Layout | Mapping[str, Any] = LAYOUT,
        look: Look | Mapping[str, Any] = LOOK,
        goal_radius: float = 0.05,
        start: Sequence[float] | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.size = size
        self.layout = _factors(Layout, layout)
        self.look = _factors(Look, look)
        self.goal_radius = goal_radius
        self.start = None if start is None else self._place("start", start)
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._state = self._goal = np.full(2, np.nan)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[UInt8[ndarray, "h w 3"], dict[str, Any]]:
        """The first picture, and where disc and goal are."""
        super().reset(seed=seed)
        drawn = draw_free(self.np_random, self.layout, 2)
        places = {"start": drawn[0] if self.start is None else self.start, "goal": drawn[1]}
        for name, place in (options or {}).items():
            if name not in places:
                raise ValueError(f"reset has no option {name!r}; use {' or '.join(places)}")
            places[name] = self._place(name, place)
        self._state, self._goal = places["start"], places["goal"]
        return self.render(), self._info()

    def step(
        self, action: Float[ndarray, "2"]
    ) -> tuple[UInt8[ndarray, "h w 3"], float, bool, bool, dict[str, Any]]:
        """The picture after the action, minus the distance to the goal, and whether it is there."""
        self._state = move(self._state, np.asarray(action, np.float64), self.layout)
        distance = float(np.hypot(*(self._state - self._goal)))
        return self.render(), -distance, distance < self.goal_radius, False, self._info()

    def render(self) -> UInt8[ndarray, "h w 3"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The picture of now."""
        return draw(self._state, self.layout, self.size, self.look)

    def way(self) -> Float[ndarray, "2"]:
        """What brings the disc nearer to the goal."""
        return toward(self._state, self._goal, self.layout)

    def _place(self, name: str, place: object) -> Float[ndarray, "2"]:
        where = np.asarray(place, np.float64)
        if where.shape != (2,) or not free(where, self.layout):
            raise ValueError(f"{name}={place} is no free place (x, y) for a disc in the two rooms")
        return where

    def _info(self) -> dict[str, Any]:
        return {"state": self._state.copy(), "goal": self._goal.copy()}


SPEC = EnvSpec(id="TwoRooms-v0", entry_point=f"{__name__}:TwoRooms", max_episode_steps=100)
"""For `gymnasium.make(SPEC)` and `gymnasium.make_vec(SPEC, num_envs=8)`."""


@dataclass(frozen=True)
class Expert:
    """A policy that is told where disc and goal are, and takes the shortest way."""

    world: TwoRooms

    def act(
        self, observation: Tensor, memory: None, *, generator: torch.Generator
    ) -> tuple[Float[Tensor, "1 2"], None]:
        """The action of `toward`; of one world, so of one observation."""
        del observation, memory, generator
        return torch.from_numpy(self.world.way()).float()[None], None


def scripted(env: gymnasium.Env[Any, Any]) -> Expert:
    """What goes to the goal that an episode has drawn."""
    assert isinstance(env, TwoRooms)
    return Expert(env)


def _factors(kind: type[FactorsT], given: FactorsT | Mapping[str, Any]) -> FactorsT:
    """`given`, or what a mapping names of it; raises ValueError for what there is not."""
    if isinstance(given, kind):
        return given
    known = [field.name for field in fields(kind)]
    for name in given:
        if name not in known:
            raise ValueError(f"{kind.__name__.lower()} has no {name!r}; use {', '.join(known)}")
    return kind(**given)
