"""Goals of gymnasium's Reacher-v5: an arm of two joints is to come to the angles of a picture.

Simulator, model and drawing are gymnasium's and MuJoCo's own. A goal asks for the arm alone, so the
red ball, which is another task's, stays at one place here; episodes that are learned from should
hide it (`hide: [target]`).
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

NAME = "Reacher-v5"
_STIFFNESS, _DAMPING = 0.5, 0.07
_QUARTER_TURN = np.pi / 2


class ReacherGoals:
    """A `GoalWorld` of arms; states are both joints' angles, then both speeds, in radians."""

    def __init__(
        self, *, size: int, options: Mapping[str, Any] | None = None, reach: float = 0.2
    ) -> None:
        """A goal is reached with both angles within `reach`, at whatever speed.

        Raises:
            ValueError: MuJoCo is not installed or cannot draw here, or the options are none.
        """
        self.size = size
        self.reach = reach
        self._options = dict(options or {})
        with says_what_draws(NAME):
            _ = self._env

    def action_width(self) -> int:
        """A torque for each joint."""
        return 2

    def has_choices(self) -> bool:
        """No: numbers."""
        return False

    def draw_pairs(
        self, generator: np.random.Generator, count: int
    ) -> tuple[Float[ndarray, "b 4"], Float[ndarray, "b 4"]]:
        """Arms at rest at even angles; the second joint keeps off its stops."""
        low, high = 0.85 * self._env.model.joint("joint1").range
        first = generator.uniform(-np.pi, np.pi, 2 * count)
        second = generator.uniform(low, high, 2 * count)
        states = np.stack((first, second, np.zeros(2 * count), np.zeros(2 * count)), axis=1)
        return states[:count], states[count:]

    def move(
        self, states: Float[ndarray, "b 4"], actions: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 4"]:
        """What one step of the simulator makes of arms."""
        env, moved = self._env, np.empty_like(states)
        for number, (state, action) in enumerate(zip(states, actions, strict=True)):
            env.data.qpos[:2], env.data.qvel[:2] = state[:2], state[2:]
            # as the environment's own step, without its observation and reward
            env.do_simulation(action.clip(-1, 1), env.frame_skip)
            moved[number] = *env.data.qpos[:2], *env.data.qvel[:2]
        return moved

    def pictures(self, states: Float[ndarray, "*b 4"]) -> UInt8[ndarray, "*b h w 3"]:
        """As `wmt data collect` draws them with the same options."""
        shape = (self.size, self.size, 3)
        seen = np.empty((states[..., 0].size, *shape), np.uint8)
        for number, state in enumerate(states.reshape(-1, 4)):
            self._put(state)
            seen[number] = resized(np.asarray(self._env.render(), np.uint8), shape)
        return seen.reshape(*states.shape[:-1], *shape)

    def reached(
        self, states: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]
    ) -> Bool[ndarray, "b"]:
        """Whether both angles are within reach."""
        return np.abs(_turns(states, goals)).max(axis=-1) < self.reach

    def places(self, states: Float[ndarray, "*b 4"]) -> Float[ndarray, "*b 4"]:
        """Sines and cosines of both angles."""
        angles = states[..., :2]
        return np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)

    def rules(self) -> Mapping[str, Rule]:
        """One that is told angles and speeds."""
        return {"expert": self.expert}

    def expert(
        self, states: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]
    ) -> Float[ndarray, "b 2"]:
        """A spring towards the goal's angles, and a brake."""
        torque = _STIFFNESS * _turns(states, goals) - _DAMPING * states[:, 2:]
        return np.clip(torque, -1, 1)

    def kinds(
        self, starts: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """Goals that are far."""
        turns = np.abs(_turns(starts, goals)).max(axis=-1)
        return {"more than a quarter turn away": turns > _QUARTER_TURN}

    @cached_property
    def _env(self) -> Any:  # noqa: ANN401 - gymnasium's MujocoEnv, which only the extra envs has
        env = open_environment(NAME, self._options, draws=True).unwrapped
        # unless it is told, the camera goes on looking at the middle of what it is shown first: the
        # same as where episodes are collected
        env.reset(seed=0)
        env.render()
        weakref.finalize(self, env.close)  # at the latest while what it draws with is still there
        return env

    def _put(self, state: Float[ndarray, "4"]) -> None:
        ball, at_rest = self._env.init_qpos[2:], np.zeros(2)
        angles, speeds = state[:2], state[2:]
        self._env.set_state(np.concatenate((angles, ball)), np.concatenate((speeds, at_rest)))


def _turns(states: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]) -> Float[ndarray, "b 2"]:
    """What is left to turn: the shorter way around, but for the second joint, which has stops."""
    turns = goals[:, :2] - states[:, :2]
    turns[:, 0] = (turns[:, 0] + np.pi) % (2 * np.pi) - np.pi
    return turns
