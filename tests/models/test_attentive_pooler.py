"""The pooler equals that of Hugging Face's V-JEPA 2 classifier, with the same random weights."""

import pytest
import torch
from transformers import VJEPA2Config
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2AttentivePooler

from tests.models.huggingface_pooler import pooler_state
from worldmodel_train.models.attentive_pooler import AttentivePooler
from worldmodel_train.models.blocks import BlocksConfig

SIZE = BlocksConfig(width=48, depth=3, heads=4)


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    config = VJEPA2Config(hidden_size=48, num_attention_heads=4, num_pooler_layers=3)
    pooler = VJEPA2AttentivePooler(config).eval()
    for parameter in pooler.parameters():  # biases and the query too, or they prove nothing
        torch.nn.init.normal_(parameter, std=0.25)
    return pooler


def same_weights(theirs):
    """Ours with their weights."""
    pooler = AttentivePooler(SIZE)
    pooler.load_state_dict(pooler_state(theirs))
    return pooler


def test_it_equals_the_peer(theirs):
    tokens = torch.randn(2, 7, 48, generator=torch.Generator().manual_seed(1))
    expected, found = theirs(tokens), same_weights(theirs)(tokens)[:, 0]
    # a few ulps of fp32 on values of about 10: other products, in another order
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_each_query_gathers_for_itself(theirs):
    tokens = torch.randn(2, 7, 48, generator=torch.Generator().manual_seed(1))
    one, two = same_weights(theirs), AttentivePooler(SIZE, queries=2)
    state = one.state_dict() | {"queries": torch.cat([one.queries, one.queries + 1]).detach()}
    two.load_state_dict(state)
    torch.testing.assert_close(two(tokens)[:, 0], one(tokens)[:, 0])
    assert not torch.allclose(two(tokens)[:, 1], one(tokens)[:, 0])


def test_residual_maps_are_drawn_smaller_with_depth():
    torch.manual_seed(0)
    pooler = AttentivePooler(BlocksConfig(width=96, depth=4, heads=4))
    for depth, block in enumerate(pooler.blocks, start=1):
        assert block.mlp.fc2.weight.std().item() == pytest.approx(0.02 / depth**0.5, rel=0.05)
    assert pooler.mlp.fc2.weight.std().item() == pytest.approx(0.02 / 5**0.5, rel=0.05)
