"""The whole objective with Triton's kernels against the references, as training calls them."""

import copy

import pytest
import torch
from torch import Tensor

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.masks.multiblock3d import Multiblock3D
from worldmodel_train.models.checkpointing import MixedCheckpointing
from worldmodel_train.training.activation_checkpointing import set_activation_checkpointing
from worldmodel_train.training.compilation import compile_regions
from worldmodel_train.types import ClipGroup, MaskedClips, TokenGrid

POLICIES = [
    "none",
    "selective",
    "full",
    MixedCheckpointing(lighter="none", heavier="selective", percent=50),
]


def make_batch(clips, side, frames=4, patch=8):
    grid = TokenGrid(frames // 2, side // patch, side // patch)
    generator = torch.Generator().manual_seed(0)
    shape = (clips, frames, side, side, 3)
    masks = tuple(
        Multiblock3D(num_blocks=2, spatial_scale=(scale, scale)).sample(
            grid, seed=i, step=0, samples=range(clips)
        )
        for i, scale in enumerate((0.3, 0.5))
    )
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return MaskedClips(groups=(ClipGroup(clips=pixels, masks=masks),))


def gradients(objective, batch, dtype):
    """The loss, then every gradient."""
    device = batch.groups[0].clips.device.type
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        loss = objective.training_losses(batch).total
    loss.backward()
    return [loss.detach(), *(p.grad for p in objective.parameters() if p.requires_grad)]


def compare(objective, batch, dtype, tolerance, monkeypatch):
    kernels = copy.deepcopy(objective)
    monkeypatch.setenv("WMT_KERNELS", "reference")
    expected = torch.cat([x.flatten() for x in gradients(objective, batch, dtype)])
    monkeypatch.setenv("WMT_KERNELS", "triton")
    found = torch.cat([x.flatten() for x in gradients(kernels, batch, dtype)])
    assert (found - expected).norm() <= tolerance * expected.norm()


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


@pytest.mark.interpret
@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 5e-3)], ids=["fp32", "fp16"]
)
@pytest.mark.parametrize("policy", POLICIES)
def test_losses_and_gradients_are_those_of_the_references(
    objective, monkeypatch, policy, dtype, tolerance
):
    set_activation_checkpointing(objective, policy)
    compare(objective, make_batch(2, 32), dtype, tolerance, monkeypatch)


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_on_a_gpu_in_bf16_as_well(objective, monkeypatch, policy, compiled):
    objective = objective.cuda()
    set_activation_checkpointing(objective, policy)
    if compiled:
        compile_regions(objective)
    # bf16 rounds each tensor on the way to 2e-3; both sides do so in other places
    compare(objective, make_batch(8, 64).map(Tensor.cuda), torch.bfloat16, 0.05, monkeypatch)
