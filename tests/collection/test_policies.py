"""What acts without having learned anything."""

import pytest
import torch

from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.policies import NAMED, RandomPolicy, Walk, scripted
from worldmodel_train.envs.environments import WorldError
from worldmodel_train.protocols import Policy

SEEN = torch.zeros(500, 3)


def acted(policy, steps):
    generator, memory, actions = torch.Generator().manual_seed(0), None, []
    for _ in range(steps):
        action, memory = policy.act(SEEN, memory, generator=generator)
        actions.append(action)
    return torch.stack(actions)


@pytest.mark.parametrize("name", NAMED)
def test_all_that_have_a_name_are_policies(name):
    assert isinstance(NAMED[name](open_world("envs/two_rooms")), Policy)


def test_a_walk_lasts_and_stays_within_the_bounds_where_random_actions_do_not_last():
    walk, random = acted(Walk(2), 12), acted(RandomPolicy(2), 12)
    for actions, lasting in ((walk, 0.85), (random, 0.0)):
        assert actions.shape == (12, 500, 2)
        assert actions.abs().max() <= 1
        now, then = actions[:-1].flatten(), actions[1:].flatten()
        assert torch.corrcoef(torch.stack((now, then)))[0, 1] == pytest.approx(lasting, abs=0.05)
    # as wide at the end as at the beginning
    assert walk[-1].std() == pytest.approx(walk[0].std().item(), rel=0.1)


def test_a_world_without_a_script_says_so():
    with pytest.raises(WorldError, match=r"^Pendulum-v1 offers no scripted policy; use random"):
        scripted(open_world("Pendulum-v1"))
