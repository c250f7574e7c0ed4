import math

import pytest
import torch

from worldmodel_train.jepa.lejepa import Config
from worldmodel_train.models.attention import SelfAttention
from worldmodel_train.models.attention_entropy import attention_entropies
from worldmodel_train.models.token_sets import AttentionGroup

GROUP = AttentionGroup(rows=2, tokens=12)


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return SelfAttention(32, 4)


def tokens(scale=1.0):
    return scale * torch.randn(24, 32, generator=torch.Generator().manual_seed(1))


def explicit(attention, tokens):
    """Of every row of the softmax, written out."""
    qkv = attention.qkv(tokens).view(2, 12, 3, 4, 8).permute(2, 0, 3, 1, 4)
    weights = (qkv[0] @ qkv[1].mT / 8**0.5).softmax(dim=-1)
    return -(weights * weights.log()).sum(dim=-1) / math.log(12)


def test_it_is_that_of_the_rows_of_the_softmax(attention):
    rows = explicit(attention, tokens(3.0))
    torch.testing.assert_close(attention.entropy(tokens(3.0), GROUP, queries=99), rows.mean())
    some = attention.entropy(tokens(3.0), GROUP, queries=3)
    torch.testing.assert_close(some, rows[:, :, [0, 4, 8]].mean())


def test_scores_are_summed_in_fp32_under_bf16(attention):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = attention.entropy(tokens(3.0), GROUP, queries=99)
        queries, keys, _ = attention.qkv(tokens(3.0)).view(2, 12, 3, 4, 8).permute(2, 0, 3, 1, 4)
    # what bf16 makes of queries and keys stays; their products are of fp32
    weights = (queries.float() @ keys.float().mT / 8**0.5).softmax(dim=-1)
    expected = -(weights * weights.log()).sum(dim=-1).mean() / math.log(12)
    torch.testing.assert_close(rounded, expected, atol=1e-6, rtol=0)


def test_all_alike_is_one_and_one_token_alone_is_zero(attention):
    even, alone = (attention.entropy(tokens(s), GROUP, queries=12).item() for s in (1e-4, 1e4))
    assert even == pytest.approx(1.0, abs=1e-5)
    assert alone == pytest.approx(0.0, abs=1e-3)
    alone = AttentionGroup(rows=24, tokens=1)
    assert attention.entropy(tokens(), alone, queries=12) == 0


def test_each_block_that_runs_is_asked_and_what_it_computes_is_the_same():
    objective = Config.tiny().build()
    clips = torch.randint(256, (2, 4, 16, 16, 3)).byte()
    before, latents = objective.encode(clips), []
    found = attention_entropies(objective, lambda: latents.append(objective.encode(clips)))
    assert torch.equal(latents[0], before)
    assert len(found) == len(objective.encoder.blocks) == 2
    assert all(0 < entropy <= 1 for entropy in found)
    found_later = attention_entropies(objective, lambda: None)
    objective.encode(clips)
    assert not found_later
