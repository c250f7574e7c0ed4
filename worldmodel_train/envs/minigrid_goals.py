"""Goals of MiniGrid: an agent that turns and walks is to come to the square of a picture.

Rules and drawing are MiniGrid's own. Its green square, another task's, stays. Each number that a
layout is drawn from is another layout, as each episode has one of its own.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from worldmodel_train.envs.environments import open_environment, resized, says_what_draws
from worldmodel_train.envs.goals import Rule

_SEEDS = 1 << 31
_LEFT, _RIGHT, _AHEAD, _NOTHING = 0, 1, 2, 6
_TURNS = 4
_FAR = 6  # squares to walk


class _Where(NamedTuple):
    """A state, in whole numbers."""

    seed: int
    x: int
    y: int
    direction: int


class MiniGridGoals:
    """A `GoalWorld` of agents: the seed of their layout, column, row, and which way they look.

    Only walls are known of layouts: worlds with doors, keys or moving things have more of a state.
    """

    def __init__(self, name: str, *, size: int, options: Mapping[str, Any] | None = None) -> None:
        """The world of that name; a goal is reached on its square, whichever way the agent looks.

        Raises:
            ValueError: MiniGrid is not installed, or the options are none.
        """
        self.name = name
        self.size = size
        self._options = dict(options or {})
        self._layouts = dict[int, Any]()
        self._moved = dict[tuple[_Where, int], _Where]()
        self._known_ways = dict[tuple[_Where, int, int], list[int]]()
        with says_what_draws(name):
            _ = self._env

    def action_width(self) -> int:
        """A number for each of MiniGrid's actions, of which three move the agent."""
        return int(self._env.action_space.n)

    def has_choices(self) -> bool:
        """Yes."""
        return True

    def draw_pairs(
        self, generator: np.random.Generator, count: int
    ) -> tuple[Float[ndarray, "b 4"], Float[ndarray, "b 4"]]:
        """Two free squares of a layout, and any directions."""
        seeds = generator.integers(_SEEDS, size=count)
        squares = np.stack([self._two_free(int(seed), generator) for seed in seeds])
        starts, goals = np.empty((2, count, 4))
        for states, places in ((starts, squares[:, 0]), (goals, squares[:, 1])):
            states[:, 0], states[:, 1:3] = seeds, places
            states[:, 3] = generator.integers(_TURNS, size=count)
        return starts, goals

    def move(
        self, states: Float[ndarray, "b 4"], actions: Float[ndarray, "b a"]
    ) -> Float[ndarray, "b 4"]:
        """What one step of the environment makes of agents."""
        pairs = zip(states.astype(int).tolist(), actions.argmax(axis=1).tolist(), strict=True)
        moved = [self._step(_Where(*state), action) for state, action in pairs]
        return np.array(moved, np.float64).reshape(states.shape)

    def pictures(self, states: Float[ndarray, "*b 4"]) -> UInt8[ndarray, "*b h w 3"]:
        """As `wmt data collect` draws them with the same options."""
        shape = (self.size, self.size, 3)
        seen = np.empty((states[..., 0].size, *shape), np.uint8)
        for number, state in enumerate(states.reshape(-1, 4).astype(int).tolist()):
            self._put(_Where(*state))
            seen[number] = resized(np.asarray(self._env.render(), np.uint8), shape)
        return seen.reshape(*states.shape[:-1], *shape)

    def reached(
        self, states: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]
    ) -> Bool[ndarray, "b"]:
        """Whether agents are on their squares."""
        return (states[:, 1:3] == goals[:, 1:3]).all(axis=1)

    def places(self, states: Float[ndarray, "*b 4"]) -> Float[ndarray, "*b 2"]:
        """Column and row."""
        return states[..., 1:3]

    def rules(self) -> Mapping[str, Rule]:
        """The straight way, walls or not, and the shortest."""
        return {"straight line": self.straight, "expert": self.expert}

    def straight(
        self, states: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]
    ) -> Float[ndarray, "b a"]:
        """Along the longer side of what is left, walls or not."""
        left = goals[:, 1:3] - states[:, 1:3]
        along_x = np.abs(left[:, 0]) >= np.abs(left[:, 1])
        wanted = np.where(along_x, np.where(left[:, 0] > 0, 0, 2), np.where(left[:, 1] > 0, 1, 3))
        turn = (wanted - states[:, 3]) % _TURNS
        return self._chosen(np.select([turn == 0, turn == 3], [_AHEAD, _LEFT], _RIGHT))

    def expert(
        self, states: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]
    ) -> Float[ndarray, "b a"]:
        """The first step of a way of the fewest steps, turns included."""
        ways = self._ways(states, goals)
        return self._chosen(np.array([way[0] if way else _NOTHING for way in ways]))

    def kinds(
        self, starts: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """Goals that are far, and those to which no straight way leads."""
        lengths = np.array([len(way) for way in self._ways(starts, goals)])
        straight = np.abs(starts[:, 1:3] - goals[:, 1:3]).sum(axis=1)
        return {
            f"more than {_FAR} squares away": straight > _FAR,
            # two turns to look the right way, and one at the corner
            "around walls": lengths > straight + 3,
        }

    @cached_property
    def _env(self) -> Any:  # noqa: ANN401 - MiniGrid's MiniGridEnv, which only the extra envs has
        env = open_environment(self.name, self._options, draws=True).unwrapped
        env.reset(seed=0)
        return env

    def _put(self, where: _Where) -> None:
        env = self._env
        if where.seed not in self._layouts:
            env.reset(seed=where.seed)
            self._layouts[where.seed] = env.grid
        env.grid = self._layouts[where.seed]
        env.agent_pos, env.agent_dir = (where.x, where.y), where.direction

    def _step(self, where: _Where, action: int) -> _Where:
        """What the environment's own step does, which is asked once."""
        if (where, action) not in self._moved:
            self._put(where)
            self._env.step(action)
            x, y = map(int, self._env.agent_pos)
            self._moved[where, action] = _Where(where.seed, x, y, int(self._env.agent_dir))
        return self._moved[where, action]

    def _two_free(self, seed: int, generator: np.random.Generator) -> Int[ndarray, "2 2"]:
        self._put(_Where(seed, 1, 1, 0))
        grid = self._env.grid
        squares = [
            (x, y) for x in range(grid.width) for y in range(grid.height) if grid.get(x, y) is None
        ]
        return np.array(squares)[generator.choice(len(squares), 2, replace=False)]

    def _ways(self, starts: Float[ndarray, "b 4"], goals: Float[ndarray, "b 4"]) -> list[list[int]]:
        pairs = zip(starts.astype(int).tolist(), goals.astype(int).tolist(), strict=True)
        return [self._way(_Where(*start), _Where(*goal)) for start, goal in pairs]

    def _way(self, start: _Where, goal: _Where) -> list[int]:
        """Actions of a shortest way, which is searched for once."""
        square = (goal.x, goal.y)
        if (start, *square) not in self._known_ways:
            way, where = self._search(start, goal), start
            for number, action in enumerate(way):
                self._known_ways[(where, *square)] = way[number:]
                where = self._step(where, action)
            self._known_ways[(where, *square)] = []
        return self._known_ways[(start, *square)]

    def _search(self, start: _Where, goal: _Where) -> list[int]:
        """Actions of a shortest way, by breadth first."""
        reached_by = dict[_Where, tuple[_Where, int] | None]({start: None})
        waiting = deque([start])
        while waiting:
            where = waiting.popleft()
            if where[1:3] == goal[1:3]:
                return list(_back(where, reached_by))[::-1]
            for action in (_AHEAD, _LEFT, _RIGHT):
                following = self._step(where, action)
                if following not in reached_by:
                    reached_by[following] = (where, action)
                    waiting.append(following)
        raise AssertionError(f"{self.name}: no way leads from {start} to {goal}")

    def _chosen(self, choices: Int[ndarray, "b"]) -> Float[ndarray, "b a"]:
        """One-hot."""
        return np.eye(self.action_width())[choices]


def _back(where: _Where, reached_by: Mapping[_Where, tuple[_Where, int] | None]) -> Iterator[int]:
    while (last := reached_by[where]) is not None:
        where, action = last
        yield action
