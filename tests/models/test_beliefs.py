"""What was last seen and done, repeated, cut and rolled out."""

import pytest
import torch

from worldmodel_train.models.beliefs import History, SeenFrames, roll_out
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(1, 2, 3)


def numbered(*shape):
    return torch.arange(float(torch.Size(shape).numel())).view(shape)


@pytest.fixture(params=["history", "frames"])
def belief(request):
    actions = numbered(2, 3, 2)
    if request.param == "history":
        return History(numbered(2, 4, 5), actions)
    return SeenFrames(numbered(2, 4, 6, 5), actions, numbered(2, 4, 7), GRID)


def test_the_last_ones_keep_the_actions_between_them(belief):
    last = belief.last(3)
    assert torch.equal(last.latents, belief.latents[:, 1:])
    assert torch.equal(last.actions, belief.actions[:, 1:])
    assert belief.last(1).actions.shape[1] == 0
    assert torch.equal(belief.last(9).actions, belief.actions)


def test_states_are_cut_with_the_frames_they_are_of():
    frames = SeenFrames(numbered(2, 4, 6, 5), numbered(2, 3, 2), numbered(2, 4, 7), GRID)
    assert torch.equal(frames.last(2).states, frames.states[:, 2:])


def test_each_is_repeated_in_a_row(belief):
    repeated = belief.repeated(3)
    assert len(repeated) == 6
    assert torch.equal(repeated.latents, belief.latents.repeat_interleave(3, dim=0))
    assert torch.equal(repeated.actions, belief.actions.repeat_interleave(3, dim=0))


def test_another_now_changes_the_last_frame_alone():
    frames = SeenFrames(numbered(2, 4, 6, 5), numbered(2, 3, 2), numbered(2, 4, 7), GRID)
    other = frames.with_now(2 * frames.now())
    assert torch.equal(other.now(), 2 * frames.latents[:, -1].flatten(1))
    assert torch.equal(other.latents[:, :-1], frames.latents[:, :-1])


class Adder:
    """A world in which an action is added to where one is."""

    def encode(self, observations, actions):
        return History(observations, actions)

    def latent(self, belief):
        return belief.latents[:, -1]

    def intervene(self, belief, latent):
        return History(latent[:, None], belief.actions)

    def step(self, belief, action):
        return History(belief.latents[:, -1:] + action[:, None], belief.actions)

    def rollout(self, belief, actions):
        return roll_out(self, belief.repeated(actions.shape[1]), actions)


def test_plans_are_rolled_out_from_the_belief_that_they_are_of():
    model, actions = Adder(), torch.randn(2, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    belief = model.encode(numbered(2, 1, 2), torch.empty(2, 0, 2))
    expected = belief.latents[:, -1][:, None, None] + actions.cumsum(dim=2)
    torch.testing.assert_close(model.rollout(belief, actions), expected)
