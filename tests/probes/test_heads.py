"""Heads make tokens into classes."""

import torch
from torch.nn import functional

from worldmodel_train.probes.heads import Attentive, Mean


def test_the_mean_head_is_a_linear_map_of_the_normalised_mean():
    torch.manual_seed(0)
    head, tokens = Mean().build(12, num_classes=5), torch.randn(3, 7, 12)
    mean = tokens.sum(dim=1) / 7
    expected = functional.layer_norm(mean, (12,), eps=1e-6) @ head.classifier.weight.T
    torch.testing.assert_close(head(tokens), expected)


def test_heads_do_not_mind_the_order_of_tokens():
    torch.manual_seed(0)
    tokens = torch.randn(3, 7, 12)
    for config in (Mean(), Attentive(depth=1, heads=2)):
        head = config.build(12, num_classes=5)
        torch.testing.assert_close(head(tokens.flip(1)), head(tokens))
