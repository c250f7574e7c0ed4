"""Worlds to act in, with actions from -1 to 1."""

import importlib
import pkgutil
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Space
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from worldmodel_train import envs

_OURS = "envs/"

Seen = UInt8[ndarray, "h w c"] | Float32[ndarray, "d"]


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

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        """Raises ValueError for a world that is seen or acted in otherwise."""
        self._env = env
        self._low, self._high = _bounds(env.action_space, name)
        self.observation = _observation(env.observation_space, name)
        """The shape of one: h w c of a picture, or the width of a vector."""

    @property
    def action_width(self) -> int:
        """Numbers of an action."""
        return len(self._low)

    def reset(self, seed: int) -> Seen:
        """The first observation of the episode that `seed` draws."""
        observation, _ = self._env.reset(seed=seed)
        return self._seen(observation)

    def step(self, action: Float[ndarray, "a"]) -> Moment:
        """What an action leads to; -1 and 1 are the bounds of the world's own actions."""
        share = (np.asarray(action, np.float64) + 1) / 2
        own = (self._low + share * (self._high - self._low)).astype(self._env.action_space.dtype)
        observation, reward, ended, cut, _ = self._env.step(own)
        return Moment(self._seen(observation), float(reward), bool(ended), bool(cut))

    def _seen(self, observation: ndarray) -> Seen:
        dtype = np.uint8 if len(self.observation) == 3 else np.float32
        return np.array(observation, dtype)


def open_world(name: str) -> World:
    """The world of that name.

    Raises:
        ValueError: There is none, or none that a policy can act in.
    """
    try:
        env = gymnasium.make(_spec(name))
    except (gymnasium.error.Error, ImportError) as error:
        raise ValueError(f"data.env={name}: {error}") from None
    return World(env, name)


def _spec(name: str) -> EnvSpec | str:
    if not name.startswith(_OURS):
        return name
    names = sorted(_OURS + module.name for module in pkgutil.iter_modules(envs.__path__))
    spec = _spec_of(name) if name in names else None
    if spec is None:
        known = ", ".join(one for one in names if _spec_of(one) is not None)
        raise ValueError(
            f"data.env={name} is none of {known}, and worlds of gymnasium have ids such as "
            "Pendulum-v1"
        )
    return spec


def _spec_of(name: str) -> EnvSpec | None:
    """That of a file of `envs/`; None where it holds a world that is only filmed."""
    module = importlib.import_module(f"{envs.__name__}.{name.removeprefix(_OURS)}")
    return getattr(module, "SPEC", None)


def _bounds(space: Space[Any], name: str) -> tuple[ndarray, ndarray]:
    if isinstance(space, Box) and len(space.shape) == 1 and space.is_bounded():
        return space.low.astype(np.float64), space.high.astype(np.float64)
    raise ValueError(
        f"data.env={name} has actions {space}; use a world whose actions are a vector of numbers "
        "within bounds"
    )


def _observation(space: Space[Any], name: str) -> tuple[int, ...]:
    if isinstance(space, Box):
        if len(space.shape) == 1 and space.dtype in (np.float32, np.float64):
            return space.shape
        if len(space.shape) == 3 and space.dtype == np.uint8:
            return space.shape
    raise ValueError(
        f"data.env={name} has observations {space}; use a world that gives vectors of floats, or "
        "pictures of bytes"
    )
