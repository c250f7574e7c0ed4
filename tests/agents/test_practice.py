from functools import partial

import torch
from torch import nn

from tests.planners.line_world import LineWorld
from worldmodel_train.agents.goal_networks import ReactivePolicy
from worldmodel_train.agents.practice import Practice, PracticeConfig
from worldmodel_train.planners.energies import nearness


class Slow(LineWorld, nn.Module):
    """The line world, with a weight that an action is multiplied with."""

    def __init__(self):
        nn.Module.__init__(self)
        LineWorld.__init__(self)
        self.speed = nn.Parameter(torch.tensor(0.5))

    def step(self, belief, action):
        return belief + self.speed * action


def test_a_policy_that_was_taught_nothing_learns_to_arrive_by_imagining_it():
    torch.manual_seed(0)
    model, policy = Slow(), ReactivePolicy(latents=2, actions=2)
    practice = Practice(
        PracticeConfig(steps=80, horizon=6, rate=3e-3),
        model=model,
        energy=partial(nearness, distance="l2", counted="nearest", way=0.3),
    )
    generator = torch.Generator().manual_seed(0)

    def draw():
        starts, goals = 2 * torch.rand(2, 64, 2, generator=generator) - 1
        return starts, goals

    unseen = draw()
    before = practice.cost(policy, *unseen).item()
    last = practice.improve(policy, draw)
    after = practice.cost(policy, *unseen).item()
    assert after < 0.2 * before
    assert 0 < last < 0.3 * before
    assert model.speed == 0.5
    assert model.speed.grad is None
