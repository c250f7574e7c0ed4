import torch

from worldmodel_train.models.coordinates import coordinates
from worldmodel_train.types import TokenGrid


def test_ids_count_time_first_and_width_fastest():
    grid = TokenGrid(frames=2, height=3, width=4)
    places = torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(4))
    assert torch.equal(torch.stack(coordinates(torch.arange(24)[None], grid), -1)[0], places)
