"""Worlds to act in, with actions from -1 to 1, and how they are seen."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Space
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from worldmodel_train.collection.actions import Actions, Choices, actions_of
from worldmodel_train.envs.environments import WorldError, resized

Seen = UInt8[ndarray, "h w c"] | Float32[ndarray, "d"]


@dataclass(frozen=True, kw_only=True)
class View:
    """What an episode has of a world, if not just what the world shows of itself."""

    see: Literal["pixels", "vector"]
    """Pixels are the world's own observations if these are pictures, and drawn by it if not."""
    size: int = 64
    """Height and width of the pixels."""


class Moment(NamedTuple):
    """What an action led to."""

    observation: Seen
    reward: float
    ended: bool
    """Whether nothing comes after by the rules of the world."""
    cut: bool
    """Whether the episode is over for another reason, such as its length."""


class World:
    """One environment, with actions that a policy gives and observations as episodes have them."""

    def __init__(self, env: gymnasium.Env[Any, Any], name: str, view: View | None = None) -> None:
        """Raises WorldError for a world that is seen or acted in otherwise."""
        self.name = name
        self._env = env
        self._view = view
        self._actions = _actions(env.action_space, name)
        own = _shape(env.observation_space)
        self._draws = view is not None and view.see == "pixels" and (own is None or len(own) == 1)
        self.observation = _observation(env, own, view, name)
        """The shape of one: h w c of a picture, or the width of a vector."""
        self.state: Float32[ndarray, "s"] | None = None
        """Beside pixels of a view, what else is known of now: the vector that the world shows of
        itself, or `state` of what it tells."""

    @property
    def env(self) -> gymnasium.Env[Any, Any]:
        """The environment itself, without what wraps it."""
        return self._env.unwrapped

    @property
    def action_width(self) -> int:
        """Numbers of an action."""
        return self._actions.width

    @property
    def has_choices(self) -> bool:
        """Whether an action is one of several."""
        return isinstance(self._actions, Choices)

    def reset(self, seed: int) -> Seen:
        """The first observation of the episode that `seed` draws."""
        observation, told = self._env.reset(seed=seed)
        return self._seen(observation, told)

    def step(self, action: Float[ndarray, "a"]) -> Moment:
        """What an action leads to; -1 and 1 are the bounds of the world's own actions."""
        observation, reward, ended, cut, told = self._env.step(self._actions.own(action))
        return Moment(self._seen(observation, told), float(reward), bool(ended), bool(cut))

    def kept(self, action: Float[ndarray, "a"]) -> Float32[ndarray, "a"]:
        """What an episode says was done where the policy gave `action`."""
        return self._actions.kept(action)

    def _seen(self, observation: Any, told: dict[str, Any]) -> Seen:  # noqa: ANN401
        if self._view is not None and self._view.see == "pixels":
            self.state = self._state(observation, told)
        if len(self.observation) == 1:
            return np.array(observation, np.float32)
        picture = self._env.render() if self._draws else observation
        return resized(np.asarray(picture, np.uint8), self.observation)

    def _state(
        self,
        observation: Any,  # noqa: ANN401
        told: dict[str, Any],
    ) -> Float32[ndarray, "s"] | None:
        if _shape_is_vector(self._env.observation_space):
            return np.array(observation, np.float32)
        state = told.get("state")
        return np.array(state, np.float32).reshape(-1) if isinstance(state, ndarray) else None


def _actions(space: Space[Any], name: str) -> Actions:
    actions = actions_of(space)
    if actions is None:
        raise WorldError(
            f"{name} has actions {space}; use a world whose actions are a vector of numbers within "
            "bounds, or one of several"
        )
    return actions


def _observation(
    env: gymnasium.Env[Any, Any], own: tuple[int, ...] | None, view: View | None, name: str
) -> tuple[int, ...]:
    """The shape of what is seen."""
    if view is not None and view.see == "pixels":
        if own is not None and len(own) == 3:
            return (view.size, view.size, own[2])
        if env.render_mode == "rgb_array":
            return (view.size, view.size, 3)
        raise WorldError(f"{name} draws no pictures; see it as a vector")
    if own is None or (view is not None and len(own) != 1):
        wanted = "vectors of floats" + ("" if view else ", or pictures of bytes")
        raise WorldError(
            f"{name} has observations {env.observation_space}; use a world that gives {wanted}"
            + (", or see it as pixels" if view else "")
        )
    return own


def _shape(space: Space[Any]) -> tuple[int, ...] | None:
    """That of a vector of floats or a picture of bytes; None for all else."""
    if isinstance(space, Box) and len(space.shape) == 3 and space.dtype == np.uint8:
        return space.shape
    return space.shape if _shape_is_vector(space) else None


def _shape_is_vector(space: Space[Any]) -> bool:
    return (
        isinstance(space, Box) and len(space.shape) == 1 and space.dtype in (np.float32, np.float64)
    )
