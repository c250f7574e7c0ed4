"""Slots learn to paint films of things before a plain background, and say whose each pixel is."""

import numpy as np
import pytest
import torch

from worldmodel_train.envs.ball_physics import Laws
from worldmodel_train.envs.balls import Scene, draw_scene, film, stack
from worldmodel_train.models.slot_decoder import SlotDecoder
from worldmodel_train.models.slot_encoder import SlotEncoderConfig
from worldmodel_train.renderers.slot_autoencoder import Config
from worldmodel_train.types import Clips


def test_slots_share_out_each_pixel():
    torch.manual_seed(0)
    decoder = SlotDecoder(16, 32)
    pixels = torch.tensor([0, 7, 30])
    colours, shares = decoder(torch.randn(2, 4, 16), torch.rand(2, 4, 2), pixels, (6, 6))
    assert colours.shape == (2, 4, 3, 3)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, 3))


def test_what_a_slot_paints_moves_with_where_it_looks():
    torch.manual_seed(0)
    decoder, slot = SlotDecoder(16, 32), torch.randn(1, 1, 16)
    here, there = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[0.5, 0.0]]])  # 2 of 8 pixels
    row = torch.arange(8)
    first, _ = decoder(slot, here, row, (8, 8))
    second, _ = decoder(slot, there, row, (8, 8))
    torch.testing.assert_close(second[:, :, 2:], first[:, :, :-2], rtol=1e-4, atol=1e-5)


def test_segments_say_which_slot_has_a_pixel():
    torch.manual_seed(0)
    model = Config.tiny().build()
    clips = torch.randint(256, (2, 3, 8, 12, 3), dtype=torch.uint8)
    segments = model.segments(clips)
    assert segments.shape == clips.shape[:-1]
    assert segments.min() >= 0
    assert segments.max() < 3


@pytest.mark.slow
def test_a_hundred_steps_paint_better_than_the_mean_picture():
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    scene = Scene(things=2, shapes=1, radius=(0.15, 0.2), gravity=0.0)
    states = stack([draw_scene(generator, scene, 16) for _ in range(64)])
    pixels = torch.from_numpy(film(states, Laws(fps=8.0), 2).pictures)
    encoder = SlotEncoderConfig(slots=3, width=32, channels=(16,), heads=2)
    model = Config(encoder=encoder, decoder_width=32).build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(100):
        some = pixels[step % 4 :: 4]
        loss = model.training_losses(Clips(pixels=some, samples=tuple(range(len(some))))).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scaled = pixels.float() / 255
    assert loss < 0.5 * (scaled - scaled.mean(dim=(0, 1))).square().mean()
