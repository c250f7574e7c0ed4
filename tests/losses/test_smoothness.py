import math

import pytest
import torch

from worldmodel_train.losses.smoothness import edge_aware_smoothness

PLAIN = torch.full((1, 3, 6, 8), 0.5)


def affine(slope_x, slope_y):
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    return torch.stack((slope_x * x + slope_y * y, slope_y * x))[None]


@pytest.mark.parametrize("order", [1, 2])
def test_an_even_flow_is_smooth(order):
    assert edge_aware_smoothness(torch.ones(1, 2, 6, 8), PLAIN, order=order, edges=10.0) == 0


def test_an_affine_flow_is_smooth_at_the_second_order_alone():
    flow = affine(0.5, 0.25)
    assert edge_aware_smoothness(flow, PLAIN, order=2, edges=10.0).item() == pytest.approx(0)
    # rows change by .25 and 0, columns by .5 and .25
    rough = edge_aware_smoothness(flow, PLAIN, order=1, edges=10.0)
    assert rough.item() == pytest.approx((0.125 + 0.375) / 2)


@pytest.mark.parametrize("order", [1, 2])
def test_a_step_of_the_flow_costs_less_at_an_edge_of_the_picture(order):
    flow, edge = torch.zeros(1, 2, 6, 8), PLAIN.clone()
    flow[..., 4:] = 1
    edge[..., 4:] = 0.75  # a slope of .25 in one place, which is where the flow has its step
    plain, excused = (
        edge_aware_smoothness(flow, picture, order=order, edges=10.0) for picture in (PLAIN, edge)
    )
    # at the second order the step is two changes, and each lies half in the edge
    expected = math.exp(-2.5) if order == 1 else math.exp(-1.25)
    assert (excused / plain).item() == pytest.approx(expected)
