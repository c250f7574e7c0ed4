import numpy as np
import torch

from benchmarks.learning.walked_model import Training, lasting_walks
from worldmodel_train.envs.two_room_goals import TwoRoomGoals

WORLD = TwoRoomGoals(size=16)


def test_walks_of_lasting_actions_are_the_world_s_own_and_the_seed_s():
    places = np.full((50, 2), 0.25)
    walks = lasting_walks(WORLD, places, Training(length=12))
    assert walks.observations.shape == (50, 13, 16, 16, 3)
    assert walks.actions.abs().max() <= 1
    moved = WORLD.move(walks.states[:, 0].double().numpy(), walks.actions[:, 0].double().numpy())
    torch.testing.assert_close(walks.states[:, 1], torch.from_numpy(moved).float())
    now, later = walks.actions[:, :-1].flatten(), walks.actions[:, 1:].flatten()
    assert torch.corrcoef(torch.stack((now, later)))[0, 1] > 0.8
    again = lasting_walks(WORLD, places, Training(length=12))
    assert torch.equal(walks.actions, again.actions)
