"""The worlds in which goals can be asked for, by the names that `wmt data collect` knows."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.minigrid_goals import MiniGridGoals
from worldmodel_train.envs.pendulum_goals import PendulumGoals
from worldmodel_train.envs.push_t_goals import PushTGoals
from worldmodel_train.envs.reacher_goals import ReacherGoals
from worldmodel_train.envs.repeated_goals import RepeatedGoals
from worldmodel_train.envs.two_room_goals import TwoRoomGoals

_MADE_WITH: Mapping[str, Callable[..., GoalWorld]] = MappingProxyType(
    {
        "envs/two_rooms": TwoRoomGoals.made_with,
        "Reacher-v5": ReacherGoals,
        "gym_pusht/PushT-v0": PushTGoals,
        "Pendulum-v1": PendulumGoals,
        "MiniGrid-Empty-8x8-v0": partial(MiniGridGoals, "MiniGrid-Empty-8x8-v0"),
        "MiniGrid-FourRooms-v0": partial(MiniGridGoals, "MiniGrid-FourRooms-v0"),
    }
)


def goal_world(
    name: str, *, size: int, options: Mapping[str, Any], frameskip: int = 1
) -> GoalWorld:
    """The world, drawn `size` pixels high and wide, in which every action is `frameskip` of its.

    Raises:
        ValueError: It is not installed, cannot be drawn here, or is not made with such options.
    """
    world = _MADE_WITH[name](size=size, options=options)
    return world if frameskip == 1 else RepeatedGoals(world=world, times=frameskip)
