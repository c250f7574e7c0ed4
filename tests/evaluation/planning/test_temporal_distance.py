"""A distance that is learned from the order of frames knows how long the way is."""

from functools import partial

import numpy as np
import pytest
import torch

from tests.envs.walks import walk
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.evaluation.planning.pilots import latents_of_pictures
from worldmodel_train.evaluation.planning.temporal_distance import (
    Config,
    drawn_pairs,
    latents_of_episodes,
    learned_distance,
)
from worldmodel_train.jepa.leworldmodel import Config as LeWorldModelConfig
from worldmodel_train.planners.energies import nearness

# three quarters of a ring, walked along once, whose ends are near in space and far in time
RING = torch.stack(
    [torch.tensor([np.cos(a), np.sin(a)]) for a in np.linspace(0, 1.5 * np.pi, 10)]
).float()


class Known(torch.nn.Module):
    """Whose latents are the first two numbers of a picture, from -1 to 1."""

    def encode(self, observations, actions):
        return observations[:, -1, 0, 0, :2].float() / 127 - 1

    def latent(self, belief):
        return belief

    def intervene(self, belief, latent):
        return latent

    def step(self, belief, action):
        return belief

    def rollout(self, belief, actions):
        return belief[:, None, None].expand(*actions.shape[:3], 2)


@pytest.fixture
def data(tmp_path):
    def of(episodes, frameskip=1):
        write_episodes(tmp_path / "rooms", episodes)
        shards = [{"name": "rooms", "shards": f"{tmp_path}/rooms/*.tar"}]
        return TrajectoriesConfig.model_validate(
            {"name": "data/trajectories", "sources": shards, "steps": 2, "frameskip": frameskip}
        )

    return of


def around_the_ring():
    """An episode of the ring, as pictures of one pixel and a channel that says nothing."""
    seen = torch.cat((RING, torch.zeros(10, 1)), dim=1)
    pixels = ((seen + 1) * 127).round().to(torch.uint8)[:, None, None].numpy()
    return Episode(observations=pixels, actions=np.zeros((9, 2), np.float32))


def test_the_way_is_learned_where_places_are_near_and_the_way_is_long(data):
    regression = {"steps": 400, "batch": 64, "rate": 3e-3}
    config = Config(pairs=2000, other=0.0, regression=regression)
    distance = learned_distance(Known(), data([around_the_ring()]), config, seed=0)
    to_last = distance(RING[:-1], RING[-1:]).expm1()
    # the first place is as far from the last in space as that of 3 actions is
    torch.testing.assert_close(to_last, torch.arange(9, 0, -1).float(), rtol=0.2, atol=0.3)


def test_it_is_an_energy_of_plans_that_gradients_go_through(data):
    config = Config(pairs=100, regression={"steps": 2})
    distance = learned_distance(Known(), data([around_the_ring()]), config, seed=0)
    latents = torch.randn(2, 3, 4, 2, requires_grad=True)
    energy = nearness(RING[:2], distance, counted="end", way=0.5)(latents, torch.zeros(2, 3, 4, 1))
    each = torch.stack([distance(latents[b], RING[b].expand_as(latents[b])) for b in range(2)])
    torch.testing.assert_close(energy, each[..., -1] + 0.5 * each.mean(dim=-1))
    energy.sum().backward()
    assert latents.grad is not None
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_the_seed_decides_it_and_the_global_generator_is_left_alone(data):
    learn = partial(
        learned_distance,
        Known(),
        data([around_the_ring()]),
        Config(pairs=50, regression={"steps": 3}),
    )
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (learn(seed=seed)(RING, RING[:1]) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_pairs_are_of_one_episode_in_its_order_or_as_far_apart_as_the_longest_is_long():
    # latents say which episode and when
    lengths = (4, 1, 7)
    episodes = [
        torch.stack((torch.full((n,), float(k)), torch.arange(n).float()), dim=1)
        for k, n in enumerate(lengths)
    ]
    draw = partial(drawn_pairs, episodes, 2000, generator=torch.Generator().manual_seed(0))
    own = draw(other=0.0)
    first, second = own.latents[own.earlier], own.latents[own.later]
    assert torch.equal(first[:, 0], second[:, 0])
    assert torch.equal(second[:, 1] - first[:, 1], own.actions)
    assert own.actions.min() == 0
    assert own.actions.max() == 6
    mixed = draw(other=0.5)
    first, second = mixed.latents[mixed.earlier], mixed.latents[mixed.later]
    elsewhere = first[:, 0] != second[:, 0]
    assert (mixed.actions[elsewhere] == 6).all()
    # every frame is somebody's other one
    assert len(second[elsewhere].unique(dim=0)) == sum(lengths)


def test_latents_are_those_of_the_kept_frames_by_themselves_of_the_first_episodes(data):
    torch.manual_seed(0)
    model = LeWorldModelConfig.tiny().build().eval()
    walks = [walk(seed) for seed in range(3)]
    # of six frames three are kept, and a third episode would be too many
    found = list(latents_of_episodes(model, data(walks, frameskip=2), frames=8))
    assert len(found) == 2
    for latents, episode in zip(found, walks, strict=False):
        kept = torch.tensor(episode.observations[::2])
        torch.testing.assert_close(latents, latents_of_pictures(model, kept, action_width=4))


def test_episodes_of_single_frames_are_refused():
    with pytest.raises(ValueError, match=r"^planning\.distance=learned learns from frames of one"):
        drawn_pairs([torch.zeros(1, 2)], 3, other=0.0, generator=torch.Generator())
