"""Each layer of an encoder learns at its own rate, the first one slowest."""

import pytest
import torch
from torch import nn

from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.layer_decay import layered_groups
from worldmodel_train.models.vit import EncoderConfig


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return EncoderConfig(size=BlocksConfig(width=24, depth=3, heads=2), patch=8).build()


def test_rates_halve_from_the_head_down_to_the_embedding(encoder):
    """BEiT's rule by hand, at a decay of a half and three blocks."""
    head = nn.Linear(24, 5)
    rates = {
        id(parameter): group.rate_scale
        for group in layered_groups(encoder, head, layer_decay=0.5)
        for parameter in group.parameters
    }
    expected = {
        encoder.patch_embed.proj.weight: 1 / 16,
        encoder.blocks[0].attn.qkv.weight: 1 / 8,
        encoder.blocks[1].mlp.fc1.bias: 1 / 4,
        encoder.blocks[2].norm1.weight: 1 / 2,
        encoder.norm.bias: 1,
        head.weight: 1,
    }
    assert {rates[id(parameter)] for parameter in expected} == set(expected.values())
    assert all(rates[id(parameter)] == rate for parameter, rate in expected.items())


def test_each_parameter_is_in_one_group_and_matrices_alone_decay(encoder):
    head = nn.Linear(24, 5)
    groups = layered_groups(encoder, head, layer_decay=0.7)
    grouped = [parameter for group in groups for parameter in group.parameters]
    everything = [*encoder.parameters(), *head.parameters()]
    assert sorted(map(id, grouped)) == sorted(map(id, everything))
    for group in groups:
        assert all((parameter.ndim > 1) == group.weight_decay for parameter in group.parameters)
    assert len({group.name for group in groups}) == len(groups)
