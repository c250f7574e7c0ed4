"""The goal of gymnasium's Pendulum-v1: upright and slow, with less torque than lifting takes.

Simulator and drawing are gymnasium's own. It draws the torque of the last step as an arrow, which
therefore is part of a state.
"""

import weakref
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from worldmodel_train.envs.environments import open_environment, resized, says_what_draws
from worldmodel_train.envs.goals import Rule

NAME = "Pendulum-v1"
_CAUGHT = 0.35  # radians within which the torque holds it
_STIFFNESS, _DAMPING = 10.0, 3.0


class PendulumGoals:
    """A `GoalWorld` of pendulums: angle from upright, its speed, and the torque that is drawn."""

    def __init__(
        self,
        *,
        size: int,
        options: Mapping[str, Any] | None = None,
        reach: float = 0.2,
        slow: float = 1.0,
    ) -> None:
        """The goal is reached within `reach` radians of upright, and `slow` radians a second.

        Raises:
            ValueError: pygame, which draws it, is not installed, or the options are none.
        """
        self.size = size
        self.reach = reach
        self.slow = slow
        self._options = dict(options or {})
        with says_what_draws(NAME):
            _ = self._env

    def action_width(self) -> int:
        """A torque."""
        return 1

    def has_choices(self) -> bool:
        """No: numbers."""
        return False

    def draw_pairs(
        self, generator: np.random.Generator, count: int
    ) -> tuple[Float[ndarray, "b 3"], Float[ndarray, "b 3"]]:
        """Pendulums as the environment begins with them; the goal is always the same."""
        starts, goals = np.zeros((2, count, 3))
        starts[:, 0] = generator.uniform(-np.pi, np.pi, count)
        starts[:, 1] = generator.uniform(-1, 1, count)
        return starts, goals

    def move(
        self, states: Float[ndarray, "b 3"], actions: Float[ndarray, "b 1"]
    ) -> Float[ndarray, "b 3"]:
        """What one step of the environment makes of pendulums."""
        env = self._env
        torques = env.max_torque * actions.clip(-1, 1).T
        env.state = states[:, :2].T  # its step computes with arrays as it does with numbers
        env.step(torques)
        return np.stack((*env.state, torques[0]), axis=1)

    def pictures(self, states: Float[ndarray, "*b 3"]) -> UInt8[ndarray, "*b h w 3"]:
        """As `wmt data collect` draws them."""
        shape = (self.size, self.size, 3)
        seen = np.empty((states[..., 0].size, *shape), np.uint8)
        for number, (angle, speed, torque) in enumerate(states.reshape(-1, 3)):
            self._env.state, self._env.last_u = np.array([angle, speed]), torque
            seen[number] = resized(np.asarray(self._env.render(), np.uint8), shape)
        return seen.reshape(*states.shape[:-1], *shape)

    def reached(
        self, states: Float[ndarray, "b 3"], goals: Float[ndarray, "b 3"]
    ) -> Bool[ndarray, "b"]:
        """Whether pendulums are upright and slow."""
        speeds = np.abs(states[:, 1] - goals[:, 1])
        return (np.abs(_angle(states - goals)) < self.reach) & (speeds < self.slow)

    def places(self, states: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 3"]:
        """Sine and cosine of the angle, and the speed, each in units of its tolerance."""
        angle, speed = states[..., 0], states[..., 1]
        parts = (np.sin(angle) / self.reach, np.cos(angle) / self.reach, speed / self.slow)
        return np.stack(parts, axis=-1)

    def rules(self) -> Mapping[str, Rule]:
        """What pushes to the top from where it is, and what swings up."""
        return {"straight up": self.straight, "expert": self.expert}

    def straight(
        self, states: Float[ndarray, "b 3"], goals: Float[ndarray, "b 3"]
    ) -> Float[ndarray, "b 1"]:
        """A spring to the top, and a brake: too weak from below."""
        torques = -_STIFFNESS * _angle(states - goals) - _DAMPING * states[:, 1]
        return np.clip(torques / self._env.max_torque, -1, 1)[:, None]

    def expert(
        self, states: Float[ndarray, "b 3"], goals: Float[ndarray, "b 3"]
    ) -> Float[ndarray, "b 1"]:
        """Torque with the swing while its energy is too low for the top, against it if too high."""
        angles, speeds = _angle(states - goals), states[:, 1]
        gravity = 1.5 * self._env.g / self._env.l
        energy = speeds**2 / 2 + gravity * (np.cos(angles) - 1)  # of rest at the top: 0
        swing = np.clip(-energy * np.where(speeds < 0, -1, 1), -1, 1)
        caught = np.abs(angles) < _CAUGHT
        return np.where(caught[:, None], self.straight(states, goals), swing[:, None])

    def kinds(
        self, starts: Float[ndarray, "b 3"], goals: Float[ndarray, "b 3"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """Those that hang: torque alone holds less than the first third of a quarter turn."""
        return {"from below": np.abs(_angle(starts - goals)) > np.pi / 2}

    @cached_property
    def _env(self) -> Any:  # noqa: ANN401 - gymnasium's PendulumEnv
        env = open_environment(NAME, self._options, draws=True).unwrapped
        env.reset(seed=0)
        env.render()
        weakref.finalize(self, env.close)
        return env


def _angle(states: Float[ndarray, "b 3"]) -> Float[ndarray, "b"]:
    """From upright, by the shorter way."""
    return (states[:, 0] + np.pi) % (2 * np.pi) - np.pi
