"""Predictors that agree on what they were shown, and differ on what they were not."""

from dataclasses import replace

import pytest
import torch

from worldmodel_train.collection.ensemble import Fitting, Transitions, _draws, fitted

FITTING = Fitting(members=3, width=32, steps=150, batch=64)


def moved(latents, actions):
    """What actions lead to in a world whose latents are places."""
    return latents + 0.1 * actions + 0.05 * torch.sin(6 * latents)


def left_half(episodes=12, length=20):
    generator = torch.Generator().manual_seed(0)
    count = episodes * length
    latents = torch.rand(count, 2, generator=generator) * torch.tensor([0.5, 1.0])
    actions = 2 * torch.rand(count, 2, generator=generator) - 1
    return Transitions(
        latents=latents,
        actions=actions,
        following=moved(latents, actions),
        episode=torch.arange(count) // length,
    )


def test_it_disagrees_more_where_it_was_shown_nothing():
    shown = left_half()
    ensemble = fitted(shown, FITTING)
    other = shown.latents + torch.tensor([0.5, 0.0])
    seen = ensemble.disagreement(shown.latents, shown.actions)
    unseen = ensemble.disagreement(other, shown.actions)
    assert seen.shape == unseen.shape == (240,)
    assert unseen.mean() > 3 * seen.mean() > 0


def test_members_predict_what_they_were_shown():
    shown = left_half()
    ensemble = fitted(shown, FITTING)
    true = ensemble.change_scale(shown.following - shown.latents)
    for predicted in ensemble(shown.latents, shown.actions):
        assert (predicted - true).square().mean() < 0.1 * true.square().mean()


def test_threads_and_what_was_drawn_before_make_no_difference():
    few = replace(FITTING, steps=3)
    first = fitted(left_half(), few)
    torch.rand(3)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        second = fitted(left_half(), few)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    other = fitted(left_half(), replace(few, seed=1))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)


def test_a_member_is_shown_a_bootstrap_of_whole_episodes():
    episode = torch.tensor([7] * 5 + [2] * 10 + [9] * 5 + [4] * 5)
    torch.manual_seed(0)
    fitting = Fitting(members=4, steps=40, batch=64)
    shown = torch.cat(list(_draws(episode, fitting)), dim=1)
    for row in shown:
        left_out = set(range(25)) - set(row.tolist())
        assert {int(episode[one]) for one in left_out}.isdisjoint(episode[row].tolist())
    sets = {tuple(sorted(set(episode[row].tolist()))) for row in shown}
    assert len(sets) > 1


@pytest.mark.filterwarnings("error")
def test_what_never_changes_is_no_division_by_zero():
    shown = left_half()
    still = replace(shown, actions=torch.zeros_like(shown.actions))
    ensemble = fitted(still, replace(FITTING, steps=2))
    assert ensemble.disagreement(still.latents, still.actions).isfinite().all()
