import pytest
import torch
from torch import nn

from worldmodel_train.models.blocks import LayerNorm


@pytest.fixture
def norms():
    torch.manual_seed(0)
    ours, usual = LayerNorm(48, eps=1e-6), nn.LayerNorm(48, eps=1e-6)
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    usual.load_state_dict(ours.state_dict())
    return ours, usual


@pytest.fixture
def tokens():
    return 3 * torch.randn(20, 48, generator=torch.Generator().manual_seed(0)) + 1


def test_in_fp32_it_is_layer_norm_bit_for_bit(norms, tokens):
    ours, usual = norms
    assert torch.equal(ours(tokens), usual(tokens))


def test_under_autocast_bf16_comes_out_of_bf16_and_sums_are_fp32(norms, tokens):
    ours, usual = norms
    rounded = tokens.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        normed = ours(rounded)
    assert normed.dtype == torch.bfloat16
    exact = usual(rounded.float())
    # rounded weight, rounded bias, rounded result: half a bf16 step each
    most = (exact - usual.bias).abs() + usual.bias.abs() + exact.abs()
    assert ((normed.float() - exact).abs() <= most * 2**-8).all()


def test_gradients_reach_the_fp32_weights(norms, tokens):
    ours, usual = norms
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours(tokens.bfloat16()).float().square().sum().backward()
    usual(tokens.bfloat16().float()).square().sum().backward()
    for mine, expected in zip(ours.parameters(), usual.parameters(), strict=True):
        assert mine.grad.dtype == torch.float32
        assert (mine.grad - expected.grad).norm() <= 0.01 * expected.grad.norm()
