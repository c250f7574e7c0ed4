import numpy as np
import pytest

from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.evaluation.planning.closed_loop import Goals, attempt
from worldmodel_train.evaluation.planning.pilots import RulePilot

WORLD = TwoRoomGoals(size=16)
# there already; two full actions away; out of reach
GOALS = Goals(
    starts=np.array([[0.2, 0.2], [0.2, 0.2], [0.2, 0.2]]),
    goals=np.array([[0.2, 0.2], [0.4, 0.2], [0.2, 0.9]]),
)


class Recorded:
    """Goes right, and writes down what it is told."""

    def __init__(self):
        self.told = []

    def choose(self, states, actions, *, which, count):
        self.told.append((len(states), len(actions), count, which.tolist()))
        return np.tile([1.0, 0.0], (states.shape[1], count, 1))


def test_arrivals_are_counted_in_actions_and_who_is_there_stays():
    attempts = attempt(WORLD, GOALS, Recorded(), budget=5, replan_every=2)
    assert attempts.arrival.tolist() == [0, 2, -1]
    assert attempts.reached.tolist() == [True, True, False]
    np.testing.assert_allclose(attempts.states[:, 0], np.tile([0.2, 0.2], (6, 1)))
    np.testing.assert_allclose(attempts.states[-1, 1], [0.4, 0.2])


def test_a_pilot_is_told_all_of_who_has_not_arrived_and_how_many_actions_are_done_next():
    pilot = Recorded()
    attempt(WORLD, GOALS, pilot, budget=5, replan_every=2)
    assert pilot.told == [(1, 0, 2, [1, 2]), (3, 2, 2, [2]), (5, 4, 1, [2])]


def test_it_ends_when_all_have_arrived():
    pilot = RulePilot(rule=WORLD.rules()["expert"], goals=GOALS.goals)
    attempts = attempt(WORLD, GOALS, pilot, budget=40, replan_every=4)
    assert attempts.reached.all()
    assert len(attempts.states) == 1 + attempts.arrival.max()


@pytest.mark.parametrize("replan_every", [1, 3])
def test_nobody_acts_longer_than_the_budget(replan_every):
    attempts = attempt(WORLD, GOALS, Recorded(), budget=4, replan_every=replan_every)
    assert len(attempts.states) == 5


def test_after_each_stretch_of_actions_it_tells_how_many_are_there():
    heard = []
    attempt(
        WORLD, GOALS, Recorded(), budget=5, replan_every=2,
        tell=lambda done, found: heard.append((done, found)),
    )  # fmt: skip
    assert heard == [
        (2, "actions, 2 of 3 goals reached"),
        (4, "actions, 2 of 3 goals reached"),
        (5, "actions, 2 of 3 goals reached"),
    ]
