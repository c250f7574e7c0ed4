import pytest
import torch

from worldmodel_train.models.blocks import BlocksConfig, Blocks


def _run(policy, precision):
    torch.manual_seed(0)
    blocks = Blocks(BlocksConfig(width=24, depth=3, heads=2))
    blocks.activation_checkpointing = policy
    tokens = torch.randn(2, 7, 24, requires_grad=True)
    saved = 0

    def count(tensor):
        nonlocal saved
        saved += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            output = blocks(tokens, None, None)
    output.float().square().sum().backward()
    return [tokens.grad, *(p.grad for p in blocks.parameters())], saved


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("policy", ["selective", "full"])
def test_gradients_are_the_same_whatever_is_kept(policy, precision):
    expected, everything = _run("none", precision)
    actual, _ = _run(policy, precision)
    assert all(map(torch.equal, actual, expected))


def test_full_checkpointing_keeps_only_the_inputs_of_blocks():
    _, everything = _run("none", "fp32")
    _, inputs = _run("full", "fp32")
    assert inputs < everything / 10
