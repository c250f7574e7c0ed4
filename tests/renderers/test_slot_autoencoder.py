"""Slots share out pixels, paint where they look, and say whose each pixel is."""

import torch

from worldmodel_train.models.slot_decoder import SlotDecoder
from worldmodel_train.renderers.slot_autoencoder import Config


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
