"""Frozen slots are the same whoever looks at them."""

import torch

from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.frozen_slots import FrozenSlots
from worldmodel_train.models.slot_encoder import SlotEncoderConfig


def test_who_trains_in_bf16_sees_the_slots_of_an_evaluation():
    torch.manual_seed(0)
    encoder = SlotEncoderConfig(slots=3, width=16, channels=(8,), heads=2).build()
    see = FrozenSlots(FrozenPart(encoder, origin="a tiny encoder"), place_weight=1.0)
    films = torch.randint(256, (2, 3, 12, 16, 3), dtype=torch.uint8)
    slots, centres = see.see(films)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        in_training = see.see(films)
    assert torch.equal(in_training[0], slots)
    assert torch.equal(in_training[1], centres)
