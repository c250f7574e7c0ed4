import torch

from worldmodel_train.models.return_scale import ReturnScale


def test_it_moves_towards_the_distance_of_the_percentiles():
    scale = ReturnScale(momentum=0.9)
    scale.update(torch.arange(101.0))
    torch.testing.assert_close(scale.value, torch.tensor(0.9 * 1 + 0.1 * 90))


def test_it_never_falls_below_one():
    scale = ReturnScale(momentum=0.0)
    scale.update(torch.full((7,), 3.0))
    assert scale.value == 1
