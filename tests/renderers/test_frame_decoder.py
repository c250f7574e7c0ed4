"""A decoder learns pictures of the latents of a world model that stays as it is."""

import re
from dataclasses import replace

import pytest
import torch

from tests.contracts.methods import EPISODES, METHODS, build
from worldmodel_train.facts import DataFacts
from worldmodel_train.jepa.leworldmodel import Config as WorldModelConfig
from worldmodel_train.jepa.vjepa import Config as VJepaConfig
from worldmodel_train.models.frozen import FrozenPart, fingerprint_of
from worldmodel_train.protocols import RendersFrames
from worldmodel_train.renderers.frame_decoder import Config
from worldmodel_train.types import Trajectories

CPU = torch.device("cpu")


@pytest.fixture
def world_model():
    torch.manual_seed(0)
    return FrozenPart(WorldModelConfig.tiny().build(), origin="a tiny LeWorldModel")


def decoder_of(part, *, episodes=EPISODES, **options):
    config = Config.tiny().model_copy(update=options)
    return config.build(DataFacts(sources=(), episodes=episodes), world_model=part)


def windows(count, seed=0):
    """Pictures of a bright square of four pixels by four on black, anywhere, two to a window."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.zeros(count, 2, 16, 16, 3, dtype=torch.uint8)
    for window in pictures:
        for picture in window:
            row, column = torch.randint(13, (2,), generator=generator).tolist()
            picture[row : row + 4, column : column + 4] = 255
    return Trajectories(observations=pictures, actions=torch.zeros(count, 1, 2))


def test_gradients_reach_the_painter_and_not_the_world_model(world_model):
    before, decoder = fingerprint_of(world_model.on(CPU)), decoder_of(world_model)
    decoder.training_losses(windows(4)).total.backward()
    assert all(p.grad is not None and p.grad.any() for p in decoder.parameters())
    frozen = world_model.on(CPU)
    assert not any(p.requires_grad or p.grad is not None for p in frozen.parameters())
    assert fingerprint_of(frozen) == before, "norms of batches stay as they were, too"
    assert {name.partition(".")[0] for name in decoder.state_dict()} == {"painter"}


def test_what_it_reads_is_what_the_model_plans_with(world_model):
    decoder, read, content = decoder_of(world_model), [], windows(3)
    decoder.painter.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    decoder.training_losses(content)
    model, last = world_model.on(CPU), content.observations[:, 1:]
    as_planned = model.latent(model.encode(last, content.actions[:, :0]))
    torch.testing.assert_close(read[0][1::2], as_planned)


def test_padding_is_not_learned_from(world_model):
    decoder, content = decoder_of(world_model), windows(3)
    valid = torch.tensor([[True, True], [True, False], [True, True]])
    padded = content.observations.clone()
    padded[~valid] = 77
    losses = [
        decoder.training_losses(replace(content, observations=pictures, valid=valid)).total
        for pictures in (content.observations, padded)
    ]
    assert losses[0] == losses[1]
    assert losses[0] != decoder.training_losses(content).total


class Places(torch.nn.Module):
    """Plans with where the bright square is, and nothing else: pictures must be learned."""

    def encode(self, observations, actions):
        bright = observations[:, -1, ..., 0].float() / 255
        return torch.cat((bright.mean(dim=1), bright.mean(dim=2)), dim=1)

    def latent(self, belief):
        return belief

    def intervene(self, belief, latent):
        return latent

    def step(self, belief, action):
        return belief

    def rollout(self, belief, actions):
        return belief[:, None, None].expand(-1, *actions.shape[1:3], -1)


@pytest.mark.slow
def test_unseen_pictures_are_painted_better_than_the_mean_of_seen_ones():
    torch.manual_seed(0)
    decoder = decoder_of(FrozenPart(Places(), origin="a model of places"))
    train, test = windows(256), windows(32, seed=1)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    for step in range(150):
        some = train.map(lambda part, step=step: part.roll(-32 * step, dims=0)[:32])
        optimizer.zero_grad()
        decoder.training_losses(some).total.backward()
        optimizer.step()
    truth = test.observations.flatten(0, 1).float() / 255
    mean = train.observations.flatten(0, 1).float().mean(dim=0) / 255
    with torch.no_grad():
        error = decoder.training_losses(test).total
    assert error < 0.5 * (truth - mean).square().mean()


def test_it_paints_any_latents_as_pictures_of_its_episodes(world_model):
    decoder = decoder_of(world_model, episodes=replace(EPISODES, observation=(16, 24, 3)))
    assert isinstance(decoder, RendersFrames)
    assert decoder.frame_size() == (16, 24)
    with torch.no_grad():
        painted = decoder.render(10 * torch.randn(5, 32))
    assert painted.shape == (5, 16, 24, 3)
    assert painted.dtype == torch.uint8
    assert not torch.equal(painted[0], painted[1])


def test_who_plans_nothing_and_what_are_no_patches_are_refused(world_model):
    masked = FrozenPart(VJepaConfig.tiny().build(), origin="runs/demo")
    with pytest.raises(ValueError, match=r"method\.world_model: runs/demo is a .* part: \."):
        decoder_of(masked)
    robot = FrozenPart(build(METHODS["jepa/vjepa2_ac"]), origin="runs/robot")
    message = r"method\.world_model: runs/robot is a VJepa2Ac, which plans from states too; name"
    with pytest.raises(ValueError, match=message):
        decoder_of(robot)
    with pytest.raises(ValueError, match=r"pictures of the episodes: 16 .*method\.patch"):
        decoder_of(world_model, patch=5)
    with pytest.raises(ValueError, match=r"have the shape \(4,\); use episodes with pixels"):
        decoder_of(world_model, episodes=replace(EPISODES, observation=(4,)))


@pytest.mark.parametrize(
    ("name", "shape"), [("agents/tdmpc2", (3,)), ("jepa/leworldmodel", (32, 32, 3))]
)
def test_a_model_of_other_observations_is_refused(name, shape):
    seen = replace(EPISODES, observation=shape)
    part = FrozenPart(METHODS[name].build(), origin="runs/other", episodes=seen)
    message = (
        r"method\.world_model: runs/other is a .*, which was trained on observations of shape "
    )
    with pytest.raises(ValueError, match=message + re.escape(f"{shape}, and")):
        decoder_of(part)


def test_a_model_of_the_same_pictures_is_taken(world_model):
    part = FrozenPart(world_model.on(CPU), origin="runs/one", episodes=EPISODES)
    assert decoder_of(part).world_model is part
