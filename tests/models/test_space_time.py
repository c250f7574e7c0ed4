"""Blocks over space and time equal a dense reference, and begin as the identity."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from worldmodel_kernels.factorized_attention import space_attention, time_attention
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.space_time import (
    FactorizedAttention,
    SpaceTimeBlock,
    SpaceTimeBlocks,
)

FRAMES, PLACES, WIDTH, HEADS = 3, 5, 12, 2
SIZE = BlocksConfig(width=WIDTH, depth=2, heads=HEADS)


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, FRAMES, PLACES, WIDTH, generator=generator)


@pytest.fixture
def condition():
    return torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1))


def opened(module):
    """The module with all weights drawn, those that begin at zero as well."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def dense(attention, tokens, seen):
    """Attention of all tokens of a clip to all, but for those that `seen` hides."""
    flat = tokens.flatten(1, 2)
    qkv = attention.qkv(flat.flatten(0, 1)).view(2, FRAMES * PLACES, 3, HEADS, -1)
    queries, keys, values = (part.transpose(1, 2) for part in qkv.unbind(2))
    gathered = scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
    mixed = gathered.transpose(1, 2).reshape(-1, WIDTH)
    return attention.proj(mixed).view_as(tokens)


@pytest.mark.parametrize("axis", ["space", "time"])
def test_attention_is_that_of_all_tokens_masked_to_a_frame_or_a_place(tokens, axis):
    torch.manual_seed(2)
    attend = space_attention if axis == "space" else partial(time_attention, causal=False)
    attention = opened(FactorizedAttention(WIDTH, HEADS, attend))
    number = torch.arange(FRAMES * PLACES)
    of = number // PLACES if axis == "space" else number % PLACES
    seen = of[:, None] == of[None, :]
    torch.testing.assert_close(attention(tokens), dense(attention, tokens, seen))


def test_a_new_stack_is_the_identity(tokens, condition):
    torch.manual_seed(2)
    assert torch.equal(SpaceTimeBlocks(SIZE)(tokens, condition), tokens)


def test_a_block_lets_each_token_see_its_frame_and_its_place_through_that(tokens, condition):
    torch.manual_seed(2)
    block = opened(SpaceTimeBlock(SIZE)).double()  # some weights of attention are tiny
    tokens, condition = tokens.double(), condition.double()
    changed = tokens.clone()
    changed[0, 0, 0, 0] += 1.0
    moved = (block(changed, condition) != block(tokens, condition)).any(-1)
    assert moved[0].all()  # first over the frame, then from there over time
    assert not moved[1].any()


def test_the_condition_of_a_clip_acts_on_that_clip_alone(tokens, condition):
    torch.manual_seed(2)
    blocks = opened(SpaceTimeBlocks(SIZE))
    changed = condition.clone()
    changed[1] += 1.0
    before, after = blocks(tokens, condition), blocks(tokens, changed)
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


@pytest.mark.parametrize("plan", ["selective", "full"])
def test_activation_checkpointing_changes_no_gradient(tokens, condition, plan):
    torch.manual_seed(2)
    blocks = opened(SpaceTimeBlocks(SIZE))
    gradients = []
    for one in ("none", plan):
        blocks.set_activation_checkpointing(one)
        blocks.zero_grad()
        blocks(tokens, condition).square().sum().backward()
        gradients.append([p.grad.clone() for p in blocks.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_gradients_are_those_of_finite_differences(tokens, condition):
    torch.manual_seed(2)
    block = opened(SpaceTimeBlock(SIZE)).double()
    inputs = tokens[:1].double().requires_grad_(), condition[:1].double().requires_grad_()
    assert torch.autograd.gradcheck(block, inputs, fast_mode=True)
