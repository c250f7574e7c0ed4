from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from worldmodel_kernels import linear, segment_attention
from worldmodel_train.models.blocks import Blocks, BlocksConfig
from worldmodel_train.models.checkpointing import (
    KEPT_OPERATIONS,
    MixedCheckpointing,
    block_policies,
)
from worldmodel_train.models.rope import Rotation
from worldmodel_train.models.token_sets import AttentionGroup

ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"
SOME_SELECTIVE = MixedCheckpointing(lighter="none", heavier="selective", percent=34)
SOME_FULL = MixedCheckpointing(lighter="selective", heavier="full", percent=34)


class _Operations(TorchDispatchMode):
    """Counts the operations that really run."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count[operation.overloadpacket.__name__] += 1
        return operation(*args, **(kwargs or {}))


ONE_GROUP = (AttentionGroup(2, 7),)
_ROTATION = Rotation(*torch.randn(2, 1, 7, 12, generator=torch.Generator().manual_seed(0)))
TWO_TURNED = (AttentionGroup(1, 7, _ROTATION), AttentionGroup(1, 7, _ROTATION))


def _run(policy, groups=ONE_GROUP, *, bf16=False):
    """Gradients, and the operations of the backward pass."""
    torch.manual_seed(0)
    blocks = Blocks(BlocksConfig(width=24, depth=3, heads=2))
    blocks.set_activation_checkpointing(policy)
    tokens = torch.randn(14, 24, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        output = blocks(tokens, groups)
    with _Operations() as operations:
        output.float().square().sum().backward()
    return [tokens.grad, *(p.grad for p in blocks.parameters())], operations.count


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("policy", ["selective", "full", SOME_SELECTIVE, SOME_FULL], ids=str)
@pytest.mark.parametrize("groups", [ONE_GROUP, TWO_TURNED], ids=["one", "two turned"])
def test_gradients_are_the_same_whatever_is_kept(policy, bf16, groups):
    expected, _ = _run("none", groups, bf16=bf16)
    actual, _ = _run(policy, groups, bf16=bf16)
    assert all(map(torch.equal, actual, expected))


@pytest.mark.parametrize("policy", ["selective", "full", SOME_SELECTIVE, SOME_FULL], ids=str)
def test_blocks_can_run_twice_before_the_backward_pass(policy):
    def gradients(policy):
        torch.manual_seed(0)
        blocks = Blocks(BlocksConfig(width=24, depth=2, heads=2))
        blocks.set_activation_checkpointing(policy)
        tokens = torch.randn(14, 24)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            # autocast would cast the weights in the first pass only
            outputs = [blocks(part, [AttentionGroup(1, 7)]) for part in tokens.split(7)]
        sum(output.float().square().sum() for output in outputs).backward()
        return [parameter.grad for parameter in blocks.parameters()]

    for actual, expected in zip(gradients(policy), gradients("none"), strict=True):
        # copies of a weight that are not shared add their bf16 gradients up in fp32
        torch.testing.assert_close(actual, expected, rtol=0.02, atol=0.02)


def test_full_computes_everything_again():
    _, operations = _run("full")
    assert operations["addmm"] > 0
    assert operations[ATTENTION] == operations["gelu"] == 3


def test_selective_keeps_the_attention_of_our_kernels():
    """By the name that it is registered by."""
    assert segment_attention.op.attend._opoverload.name() in KEPT_OPERATIONS


def test_selective_computes_only_the_cheap_again():
    _, operations = _run("selective")
    assert operations["addmm"] == operations[ATTENTION] == 0
    assert operations["gelu"] == 3


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch was built without oneDNN"
)
def test_selective_keeps_the_products_of_onednn_too(monkeypatch):
    monkeypatch.setattr(linear, "MKL_IS_SLOW", True)
    monkeypatch.setattr(linear, "FEWEST_WEIGHTS", 1)
    monkeypatch.delenv("WMT_KERNELS", raising=False)
    products = {
        policy: _run(policy)[1]["onednn_linear"] for policy in ("none", "selective", "full")
    }
    assert 0 < products["none"] == products["selective"] < products["full"]


def test_none_computes_nothing_again():
    _, operations = _run("none")
    assert operations["addmm"] == operations[ATTENTION] == operations["gelu"] == 0


def test_only_the_blocks_with_the_heavier_policy_compute_again():
    _, operations = _run(SOME_SELECTIVE)  # 34 % of three blocks are two
    assert operations["addmm"] == operations[ATTENTION] == 0
    assert operations["gelu"] == 2
    _, operations = _run(SOME_FULL)
    assert operations[ATTENTION] == 2
    assert operations["gelu"] == 3


@pytest.mark.parametrize(
    ("percent", "depth", "heavy"),
    [(1, 40, 1), (25, 40, 10), (26, 40, 11), (99, 40, 40), (50, 1, 1)],
)
def test_the_first_blocks_take_the_heavier_policy_and_a_share_is_rounded_up(percent, depth, heavy):
    plan = MixedCheckpointing(lighter="none", heavier="full", percent=percent)
    policies = block_policies(plan, depth)
    assert policies == ("full",) * heavy + ("none",) * (depth - heavy)
