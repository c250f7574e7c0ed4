import torch
from torch import nn

from worldmodel_train.models.normed_mlp import SimNorm, normed_mlp, simplex_mlp


def test_stretches_add_up_to_one_and_each_is_a_softmax():
    channels = torch.randn(3, 2, 12, generator=torch.Generator().manual_seed(0))
    simplices = SimNorm(4)(channels).unflatten(-1, (3, 4))
    torch.testing.assert_close(simplices.sum(-1), torch.ones(3, 2, 3))
    torch.testing.assert_close(simplices[1, 0, 2], channels[1, 0, 8:].softmax(0))


def test_an_mlp_ends_with_a_linear_map_and_drops_after_its_first():
    layers = [type(layer) for layer in normed_mlp((3, 8, 8, 2), dropout=0.1)]
    hidden = [nn.LayerNorm, nn.Mish]
    assert layers == [nn.Linear, nn.Dropout, *hidden, nn.Linear, *hidden, nn.Linear]
    assert nn.Dropout not in {type(layer) for layer in normed_mlp((3, 8, 2))}


def test_outputs_of_a_simplex_mlp_are_simplices():
    outputs = simplex_mlp((3, 8, 8), size=4)(torch.randn(5, 3))
    torch.testing.assert_close(outputs.unflatten(-1, (2, 4)).sum(-1), torch.ones(5, 2))
