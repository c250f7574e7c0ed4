import pytest
import torch

from worldmodel_train.planners.energies import nearness

GOAL = torch.tensor([[3.0, 4.0]])
PLAN = torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]]])  # one plan of two latents
NO_ACTIONS = torch.zeros(1, 1, 2, 1)


@pytest.mark.parametrize(
    ("distance", "first", "last"), [("l1", 2.0, 1.5), ("l2", 8.0, 4.5), ("cosine", 0.4, 0.2)]
)
def test_the_end_counts_and_the_way_as_much_as_is_asked_for(distance, first, last):
    def energy(way):
        return nearness(GOAL, distance, way=way)(PLAN, NO_ACTIONS)

    torch.testing.assert_close(energy(0.0), torch.tensor([[last]]))
    torch.testing.assert_close(energy(2.0), torch.tensor([[last + first + last]]))


@pytest.mark.parametrize("way", [0.0, 2.0])
def test_a_plan_may_count_by_where_it_is_nearest(way):
    there_and_on = PLAN.flip(2)
    energy = nearness(GOAL, "l2", counted="nearest", way=way)(there_and_on, NO_ACTIONS)
    torch.testing.assert_close(energy, torch.tensor([[4.5 + way * (8.0 + 4.5) / 2]]))


@pytest.mark.parametrize("distance", ["l1", "l2", "cosine"])
def test_who_is_there_pays_nothing_and_goals_are_each_ones_own(distance):
    goals = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    plans = goals[:, None, None].expand(2, 3, 4, 2)
    energy = nearness(goals, distance)(plans, torch.zeros(2, 3, 4, 1))
    torch.testing.assert_close(energy, torch.zeros(2, 3))
