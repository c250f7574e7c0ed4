"""Slots see no later frame, share out all there is, and begin at things that differ."""

import torch

from worldmodel_train.models.slot_attention import (
    SlotAttention,
    pixel_places,
    unlike_each_other,
)
from worldmodel_train.models.slot_encoder import SlotEncoderConfig

SMALL = SlotEncoderConfig(slots=3, width=16, channels=(8,), heads=2)


def films(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (2, 3, 12, 16, 3), generator=generator, dtype=torch.uint8)


def test_slots_of_a_frame_hang_on_no_later_one():
    torch.manual_seed(0)
    encoder = SMALL.build()
    before = films(0)
    after = torch.cat((before[:, :2], films(1)[:, 2:]), dim=1)
    (one, _), (other, _) = encoder(before), encoder(after)
    torch.testing.assert_close(one[:, :2], other[:, :2], rtol=1e-6, atol=1e-6)
    assert (one[:, 2] - other[:, 2]).abs().max() > 1e-3
    # a film that is cut short is seen as its beginning was
    torch.testing.assert_close(encoder(before[:, :2])[0], one[:, :2], rtol=1e-5, atol=1e-5)


def test_where_slots_look_is_fp32_where_the_rest_is_not():
    torch.manual_seed(0)
    encoder = SMALL.build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        slots, centres = encoder(films(0))
    assert slots.dtype == centres.dtype == torch.float32
    assert (centres != centres.bfloat16()).any()


def test_slots_compete_for_features_and_come_in_the_order_in_which_they_begin():
    torch.manual_seed(0)
    attention, features = SlotAttention(16, 32), torch.randn(2, 20, 16)
    slots, order = torch.randn(2, 4, 16), torch.tensor([2, 0, 3, 1])
    found, shares = attention(slots, features, 2)
    moved, _ = attention(slots[:, order], features, 2)
    # fp32: a sum over slots in another order
    torch.testing.assert_close(moved, found[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(2, 4))


def test_an_untrained_round_gives_features_to_the_slot_that_is_like_them():
    torch.manual_seed(0)
    attention = SlotAttention(16, 32)
    kinds = torch.randn(1, 4, 16)
    features = kinds.repeat_interleave(5, dim=1) + 0.01 * torch.randn(1, 20, 16)
    _, shares = attention(kinds, features, 1)
    winners = shares.argmax(dim=1)[0]
    assert winners.tolist() == [kind for kind in range(4) for _ in range(5)]


def test_first_slots_are_of_the_background_and_of_each_thing():
    features = torch.zeros(1, 12, 2)
    features[0, 4] = torch.tensor([5.0, 0.0])
    features[0, 9] = torch.tensor([0.0, 4.0])
    found = unlike_each_other(features, 3)
    expected = torch.tensor([[[0.0, 0.0], [5.0, 0.0], [0.0, 4.0]]])
    torch.testing.assert_close(found, expected)


def test_places_are_those_of_pixels():
    places = pixel_places(2, 4)
    torch.testing.assert_close(places[0], torch.tensor([-0.75, -0.5]))
    torch.testing.assert_close(places[-1], torch.tensor([0.75, 0.5]))
    torch.testing.assert_close(places[1] - places[0], torch.tensor([0.5, 0.0]))
