import pytest
import torch
from torch import nn

from worldmodel_train.models.layer_norm import LastNorm, LayerNorm


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


def test_under_autocast_an_fp32_stream_is_rounded_after_the_norm_and_not_before(norms, tokens):
    ours, usual = norms
    with torch.autocast("cpu", dtype=torch.bfloat16):
        normed = ours(tokens)
    assert torch.equal(normed, usual(tokens).bfloat16())


def test_gradients_reach_the_fp32_weights(norms, tokens):
    ours, usual = norms
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours(tokens.bfloat16()).float().square().sum().backward()
    usual(tokens.bfloat16().float()).square().sum().backward()
    for mine, expected in zip(ours.parameters(), usual.parameters(), strict=True):
        assert mine.grad.dtype == torch.float32
        assert (mine.grad - expected.grad).norm() <= 0.01 * expected.grad.norm()


@pytest.mark.parametrize("kind", [LayerNorm, LastNorm])
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_gradients_of_many_bf16_tokens_are_sums_in_fp32(kind, weights):
    torch.manual_seed(0)
    norm = kind(16, eps=1e-6)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    norm = norm.to(weights)
    exact = nn.LayerNorm(16, eps=1e-6).double()
    exact.load_state_dict(norm.state_dict())
    tokens = (3 * torch.randn(34_800, 16) + 1).bfloat16().requires_grad_()
    gradient = (torch.randn(34_800, 16) + 0.3).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        normed = norm(tokens)
    normed.backward(gradient.to(normed.dtype))
    double = tokens.detach().double().requires_grad_()
    exact(double).backward(gradient.double())
    assert normed.dtype == (torch.bfloat16 if kind is LayerNorm else torch.float32)
    assert _error(tokens.grad, double.grad) < 0.005
    most = 1e-4 if weights == torch.float32 else 0.004  # half a bf16 step
    for mine, expected in zip(norm.parameters(), exact.parameters(), strict=True):
        assert mine.grad.dtype == weights
        assert _error(mine.grad, expected.grad) < most


def _error(actual, expected):
    return float((actual.double() - expected).norm() / expected.norm())
