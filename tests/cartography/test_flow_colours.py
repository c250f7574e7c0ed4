import torch

from worldmodel_train.cartography.flow_colours import flow_colours


def colour(x, y):
    flow = torch.tensor([x, y], dtype=torch.float32).view(1, 2, 1, 1)
    return tuple(flow_colours(flow, longest=2.0)[0, 0, 0].tolist())


def test_what_stands_still_is_white():
    assert colour(0, 0) == (255, 255, 255)


def test_to_the_right_is_red_and_hues_turn_downwards():
    assert colour(2, 0) == (255, 0, 0)
    assert colour(0, 2) == (128, 255, 0)
    assert colour(-2, 0) == (0, 255, 255)


def test_half_the_way_is_half_the_colour_and_more_than_the_longest_is_no_more():
    assert colour(1, 0) == (255, 128, 128)
    assert colour(9, 0) == colour(2, 0)
