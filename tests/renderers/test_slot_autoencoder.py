"""Slots share out pixels, paint where they look, and say whose each pixel is."""

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from worldmodel_train.models.slot_decoder import SlotDecoder
from worldmodel_train.renderers.slot_autoencoder import Config
from worldmodel_train.training.strategies.fsdp2 import shard
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


@pytest.fixture
def mesh():
    """Of this process alone."""
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    yield init_device_mesh("cpu", (1,), mesh_dim_names=("data_parallel",))
    distributed.destroy_process_group()


# the trainer ignores it too: nobody changes a result in place
@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view")
@pytest.mark.distributed
@pytest.mark.parametrize("in_bf16", [False, True])
def test_sharded_it_learns_the_same(mesh, in_bf16):
    """FSDP2 gathers a module at its `forward`, and at no other method."""
    pixels = torch.randint(256, (2, 3, 8, 12, 3), dtype=torch.uint8)
    clips = Clips(pixels=pixels, samples=(0, 1))
    totals, norms = [], []
    for sharded in (False, True):
        torch.manual_seed(0)
        model = Config.tiny().build()
        if sharded:
            shard(model, mesh, in_bf16=in_bf16)
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=in_bf16):
            losses = model.training_losses(clips)
        losses.total.backward()
        totals.append(losses.total.detach())
        gradients = [p.grad for p in model.parameters()]
        whole = [g.full_tensor() if sharded else g for g in gradients]
        norms.append(torch.stack([one.norm() for one in whole]))
    # bf16: weights are rounded before they are taken, which autocast does later
    torch.testing.assert_close(totals[1], totals[0], rtol=1e-2 if in_bf16 else 1e-6, atol=0)
    torch.testing.assert_close(norms[1], norms[0], rtol=0.2 if in_bf16 else 1e-4, atol=1e-4)
