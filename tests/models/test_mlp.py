"""The SwiGLU of V-JEPA's released code, and where it may be used."""

import math

import pytest
import torch

from worldmodel_train.models.blocks import Blocks, BlocksConfig, rescale_residuals
from worldmodel_train.models.mlp import SwiGlu


def test_a_swiglu_is_its_formula_and_so_are_its_gradients():
    torch.manual_seed(0)
    module = SwiGlu(6, 8).double()
    tokens = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    gate, up, down = module.fc1, module.fc2, module.fc3
    logits = tokens @ gate.weight.T + gate.bias
    gated = logits / (1 + torch.exp(-logits)) * (tokens @ up.weight.T + up.bias)
    expected = gated @ down.weight.T + down.bias
    torch.testing.assert_close(module(tokens), expected)
    leaves = [tokens, *module.parameters()]
    weights = torch.randn(5, 6, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad((output * weights).sum(), leaves)
        for output in (module(tokens), expected)
    )
    torch.testing.assert_close(ours, theirs)


# int(2 / 3 of the GELU's hidden channels), rounded up to a multiple of 8
@pytest.mark.parametrize(
    ("width", "ratio", "hidden"),
    [(1024, 4.0, 2736), (1408, 48 / 11, 4096), (384, 4.0, 1024), (48, 4.0, 128), (1024, 6.0, 4096)],
)
def test_hidden_channels_are_those_of_the_released_code(width, ratio, hidden):
    config = BlocksConfig(width=width, depth=1, heads=width // 16, mlp_ratio=ratio, mlp="swiglu")
    assert config.mlp_width == hidden
    with torch.device("meta"):
        (block,) = Blocks(config)
    assert block.mlp.fc1.weight.shape == block.mlp.fc2.weight.shape == (hidden, width)
    assert block.mlp.fc3.weight.shape == (width, hidden)


def test_a_gelu_is_what_it_was():
    assert BlocksConfig(width=48, depth=1, heads=4).mlp_width == 192
    (block,) = Blocks(BlocksConfig(width=48, depth=1, heads=4))
    assert [name for name, _ in block.mlp.named_parameters()] == [
        "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias",
    ]  # fmt: skip


def test_what_deep_blocks_add_is_scaled_down_alike_for_both_kinds():
    for kind in ("gelu", "swiglu"):
        blocks = Blocks(BlocksConfig(width=48, depth=3, heads=4, mlp=kind))
        tokens = torch.randn(7, 48)
        for block in blocks:
            for name, parameter in block.mlp.named_parameters():
                parameter.data = parameter.data * 0 if name.endswith("bias") else parameter.data
        before = [block.mlp(tokens) for block in blocks]
        rescale_residuals(blocks)
        for depth, (old, block) in enumerate(zip(before, blocks, strict=True), start=1):
            torch.testing.assert_close(block.mlp(tokens), old / math.sqrt(2 * depth))
