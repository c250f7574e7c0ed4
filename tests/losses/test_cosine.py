import pytest
import torch

from worldmodel_train.losses.cosine import cosine_distance


def test_it_goes_from_0_for_one_way_to_2_for_opposite_ways():
    ahead = torch.tensor([1.0, 0.0])
    others = torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [1.0, 1.0]])
    found = cosine_distance(ahead.expand(4, 2), others)
    assert found.tolist() == pytest.approx([0, 1, 2, 1 - 0.5**0.5])


def test_length_does_not_count():
    one, other = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cosine_distance(7 * one, other / 3), cosine_distance(one, other))
