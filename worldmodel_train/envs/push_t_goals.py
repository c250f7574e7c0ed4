"""Goals of gym-pusht's Push-T: a hand pushes a block shaped like a T to where a picture has it.

Simulator and drawing are gym-pusht's and pymunk's own. A goal is what came of some play from its
start, so that it can be reached, as in DINO-WM (arXiv 2411.04983) and LeWorldModel (2603.19312),
whose goals lie 25 steps on in episodes that were recorded. The green zone, another task's, stays.
"""

import weakref
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from worldmodel_train.envs.environments import (
    WorldError,
    open_environment,
    resized,
    says_what_draws,
)
from worldmodel_train.envs.goals import Rule

NAME = "gym_pusht/PushT-v0"
_MIDDLE = 256.0  # pixels, of a board that is twice as wide
_HAND = slice(0, 2)
_BLOCK = slice(2, 4)
_ANGLE = 4
_HAND_RADIUS = 15.0
_FROM_WALLS = 60.0  # of goals
_AROUND_BLOCK, _HELD = 120.0, 5  # play: how far from the block it aims, and for how many steps
_BEHIND, _BESIDE = 110.0, 30.0  # a straight push: where it begins, and how far off its line


class PushTGoals:
    """A `GoalWorld` of boards: places of hand and block, its angle, then velocities in that order.

    All in the simulator's pixels, radians and seconds. An action says where the hand is to go.
    What contacts the simulator's solver remembers is no part of a state. So where the hand squeezes
    the block, often at a wall, it moves otherwise than without a stop: after 25 steps of play its
    place differed by .2 pixels at the median of 54, and by 75 at the 90th percentile.
    """

    def __init__(
        self,
        *,
        size: int,
        options: Mapping[str, Any] | None = None,
        ahead: int = 25,
        near: float = 20.0,
        turn: float = np.pi / 9,
    ) -> None:
        """A goal lies `ahead` steps of play on.

        It is reached with the four numbers of both places, as one vector, within `near` pixels, and
        with the angle within `turn`: DINO-WM's tolerance, which LeWorldModel's evaluation kept.

        Raises:
            ValueError: gym-pusht is not installed or cannot draw here, or the options are none.
        """
        self.size = size
        self.ahead = ahead
        self.near = near
        self.turn = turn
        self._options = dict(options or {})
        if self._options.get("obs_type") != "pixels":
            raise WorldError(
                f"{NAME} marks the last action in pictures that it draws but does not observe, and "
                "a goal has none; collect with --world obs_type=pixels, and say so in options"
            )
        with says_what_draws(NAME):
            _ = self._env

    def action_width(self) -> int:
        """Where the hand is to go, from one side of the board to the other."""
        return 2

    def has_choices(self) -> bool:
        """No: numbers."""
        return False

    def draw_pairs(
        self, generator: np.random.Generator, count: int
    ) -> tuple[Float[ndarray, "b 10"], Float[ndarray, "b 10"]]:
        """Boards at rest, and what came of play in which the hand aims at the block."""
        starts, goals = np.empty((2, 0, 10))
        while len(starts) < count:
            begun = self._draw_starts(generator, count)
            played = self._play(begun, generator)
            good = self._on_board(played) & ~self.reached(begun, played)
            starts = np.concatenate((starts, begun[good]))
            goals = np.concatenate((goals, played[good]))
        return starts[:count], goals[:count]

    def move(
        self, states: Float[ndarray, "b 10"], actions: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 10"]:
        """What one step of the simulator makes of boards."""
        env, moved = self._env, np.empty_like(states)
        steps = round(1 / (env.dt * env.control_hz))
        for number, (state, action) in enumerate(zip(states, actions, strict=True)):
            self._put(state)
            target = tuple(_MIDDLE * (1 + action.clip(-1, 1)))
            # as the environment's own step, without its observation and reward
            for _ in range(steps):
                left = target - env.agent.position
                env.agent.velocity += (env.k_p * left - env.k_v * env.agent.velocity) * env.dt
                env.space.step(env.dt)
            moved[number] = state_of(env)
        return moved

    def pictures(self, states: Float[ndarray, "*b 10"]) -> UInt8[ndarray, "*b h w 3"]:
        """As `wmt data collect` has them with the same options."""
        shape = (self.size, self.size, 3)
        seen = np.empty((states[..., 0].size, *shape), np.uint8)
        for number, state in enumerate(states.reshape(-1, 10)):
            self._put(state)
            seen[number] = resized(self._env.get_obs(), shape)
        return seen.reshape(*states.shape[:-1], *shape)

    def reached(
        self, states: Float[ndarray, "b 10"], goals: Float[ndarray, "b 10"]
    ) -> Bool[ndarray, "b"]:
        """Whether hand and block are where they should be, and the block as it should lie."""
        away = np.linalg.norm(states[:, :_ANGLE] - goals[:, :_ANGLE], axis=1)
        return (away < self.near) & (_turned(states, goals) < self.turn)

    def places(self, states: Float[ndarray, "*b 10"]) -> Float[ndarray, "*b 6"]:
        """Both places and the direction of the block, each in units of its tolerance."""
        angle = states[..., _ANGLE, None] - np.array([0, np.pi / 2])
        return np.concatenate(
            (states[..., :_ANGLE] / self.near, np.cos(angle) / self.turn), axis=-1
        )

    def rules(self) -> Mapping[str, Rule]:
        """Nothing at all, what leaves the block alone, and what pushes it without turning it."""
        return {"stay": self.stay, "hand alone": self.hand_alone, "straight push": self.push}

    def stay(
        self, states: Float[ndarray, "b 10"], goals: Float[ndarray, "b 10"]
    ) -> Float[ndarray, "b 2"]:
        """Where the hand is already."""
        del goals
        return _action(states[:, _HAND])

    def hand_alone(
        self, states: Float[ndarray, "b 10"], goals: Float[ndarray, "b 10"]
    ) -> Float[ndarray, "b 2"]:
        """Straight to the hand's place, whatever is in the way."""
        del states
        return _action(goals[:, _HAND])

    def push(
        self, states: Float[ndarray, "b 10"], goals: Float[ndarray, "b 10"]
    ) -> Float[ndarray, "b 2"]:
        """Behind the block, along the line to its place, and when it is there, the hand alone."""
        hand, block = states[:, _HAND], states[:, _BLOCK]
        to_go = goals[:, _BLOCK] - block
        left = np.linalg.norm(to_go, axis=1, keepdims=True)
        ahead = to_go / np.maximum(left, 1e-9)
        along = ((hand - block) * ahead).sum(axis=1, keepdims=True)
        beside = np.linalg.norm(hand - block - along * ahead, axis=1, keepdims=True)
        is_behind = (along < 0) & (beside < _BESIDE)
        target = np.where(
            is_behind, hand + to_go + 2 * _HAND_RADIUS * ahead, block - _BEHIND * ahead
        )
        return _action(np.where(left < self.near / 2, goals[:, _HAND], target))

    def kinds(
        self, starts: Float[ndarray, "b 10"], goals: Float[ndarray, "b 10"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """Goals for which the block must be moved, not only the hand."""
        away = np.linalg.norm(starts[:, _BLOCK] - goals[:, _BLOCK], axis=1)
        return {"block to be moved": (away >= self.near) | (_turned(starts, goals) >= self.turn)}

    @cached_property
    def _env(self) -> Any:  # noqa: ANN401 - gym-pusht's PushTEnv, which may not be installed
        env = open_environment(NAME, self._options, draws=True).unwrapped
        env.reset(seed=0)
        weakref.finalize(self, env.close)
        return env

    def _put(self, state: Float[ndarray, "10"]) -> None:
        """Has the simulator be in a state, with nothing left of what it did before."""
        env = self._env
        hand, block = env.agent, env.block
        # bodies that are apart for as long as contacts are remembered
        hand.position, block.position = (20, 20), (300, 300)
        hand.velocity = block.velocity = (0, 0)
        block.angular_velocity = 0
        for _ in range(env.space.collision_persistence + 2):
            env.space.step(env.dt)
        place = state.tolist()
        hand.position, hand.velocity = place[0:2], place[5:7]
        block.angle = place[4]  # first: a turn is about the centre of mass, and moves the place
        block.position, block.velocity = place[2:4], place[7:9]
        block.angular_velocity = place[9]
        for body in (hand, block):
            env.space.reindex_shapes_for_body(body)

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Float[ndarray, "b 10"]:
        """Boards as the environment begins with them, but no hand within a block."""
        states = np.zeros((count, 10))
        for state in states:
            state[_HAND] = generator.uniform(50, 450, 2)
            state[_BLOCK] = generator.uniform(100, 400, 2)
            state[_ANGLE] = generator.uniform(-np.pi, np.pi)
        return states[[self._is_free(state) for state in states]]

    def _is_free(self, state: Float[ndarray, "10"]) -> bool:
        self._put(state)
        hand, shapes = self._env.agent.position, self._env.block.shapes
        return min(shape.point_query(hand).distance for shape in shapes) > _HAND_RADIUS

    def _play(
        self, states: Float[ndarray, "b 10"], generator: np.random.Generator
    ) -> Float[ndarray, "b 10"]:
        aims = states[:, _BLOCK]
        for step in range(self.ahead):
            if step % _HELD == 0:
                aims = states[:, _BLOCK] + generator.normal(0, _AROUND_BLOCK, aims.shape)
            states = self.move(states, _action(aims))
        return states

    def _on_board(self, states: Float[ndarray, "b 10"]) -> Bool[ndarray, "b"]:
        """Where nothing was pushed into the walls or through them, as the simulator lets happen."""
        off = np.abs(states[:, :_ANGLE] - _MIDDLE).max(axis=1)
        return off < _MIDDLE - _FROM_WALLS


def state_of(env: Any) -> Float[ndarray, "10"]:  # noqa: ANN401
    """What is in its simulator now, as `PushTGoals` has states."""
    hand, block = env.agent, env.block
    return np.array(
        [
            *(*hand.position, *block.position, block.angle),
            *(*hand.velocity, *block.velocity, block.angular_velocity),
        ]
    )


def _action(places: Float[ndarray, "b 2"]) -> Float[ndarray, "b 2"]:
    """That which sends the hand there."""
    return np.clip(places / _MIDDLE - 1, -1, 1)


def _turned(states: Float[ndarray, "b 10"], goals: Float[ndarray, "b 10"]) -> Float[ndarray, "b"]:
    """How far the block is turned, by the shorter way."""
    turn = states[:, _ANGLE] - goals[:, _ANGLE]
    return np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
