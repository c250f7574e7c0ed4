import pytest
import torch

from worldmodel_train.models.attention import SelfAttention, attention
from worldmodel_train.models.rope import Rotation
from worldmodel_train.models.token_sets import AttentionGroup


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_its_formula_in_float64(masked):
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = torch.randn(3, 2, 3, 7, 10, generator=generator)
    valid = torch.rand(2, 7, generator=generator) < 0.6
    valid[:, 0] = True
    scores = queries.double() @ keys.double().transpose(-1, -2) / 10**0.5
    if masked:
        scores = scores.masked_fill(~valid[:, None, None], -torch.inf)
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    actual = attention(queries, keys, values, valid if masked else None)
    torch.testing.assert_close(actual.double(), weights @ values.double(), rtol=0, atol=1e-6)


def test_the_order_of_tokens_does_not_matter():
    torch.manual_seed(0)
    module, tokens = SelfAttention(12, 2), torch.randn(2, 9, 12)
    order = torch.randperm(9)
    group = AttentionGroup(rows=2, tokens=9)
    shuffled = module(tokens[:, order].flatten(0, 1), [group]).unflatten(0, (2, 9))
    ordered = module(tokens.flatten(0, 1), [group]).unflatten(0, (2, 9))
    torch.testing.assert_close(shuffled, ordered[:, order])


def test_groups_of_sequences_do_not_see_each_other():
    torch.manual_seed(0)
    module, groups = SelfAttention(12, 2), [AttentionGroup(2, 9), AttentionGroup(3, 4)]
    tokens = torch.randn(2 * 9 + 3 * 4, 12)
    together = module(tokens, groups)
    apart = [module(part, [g]) for part, g in zip(tokens.split([18, 12]), groups, strict=True)]
    torch.testing.assert_close(together, torch.cat(apart))


def test_heads_are_turned_by_the_kernels_op(monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "triton")
    module, rotation = SelfAttention(12, 2), Rotation(torch.ones(1, 9, 6), torch.zeros(1, 9, 6))
    with pytest.raises(ValueError, match="rope cannot use Triton: tensors are on cpu"):
        module(torch.randn(18, 12), [AttentionGroup(2, 9, rotation)])
