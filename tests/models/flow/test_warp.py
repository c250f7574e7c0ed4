import pytest
import torch

from worldmodel_train.models.flow.warp import finer, is_seen_in_both, lands_inside, warp


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def even_flow(x, y, height=6, width=8):
    return torch.tensor([x, y], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, height, width)


def test_an_even_flow_of_whole_pixels_undoes_a_roll():
    first = noise(1, 3, 6, 8)
    second = first.roll((1, 2), dims=(2, 3))  # all has moved down by 1 and to the right by 2
    made = warp(second, even_flow(2, 1))
    torch.testing.assert_close(made[:, :, :-1, :-2], first[:, :, :-1, :-2])


def test_between_pixels_it_is_the_mean_of_both():
    second = noise(1, 3, 6, 8)
    made = warp(second, even_flow(0.5, 0))
    expected = (second[..., :-1] + second[..., 1:]) / 2
    torch.testing.assert_close(made[..., :-1], expected)


def test_beyond_the_border_is_the_nearest_pixel():
    second = noise(1, 3, 6, 8)
    made = warp(second, even_flow(0, -100))
    torch.testing.assert_close(made, second[:, :, :1].expand_as(second))


def test_a_flow_gets_a_gradient_towards_what_it_should_be():
    """Of a ramp: its slope is what a pixel more is worth."""
    ramp = torch.arange(8.0).expand(1, 1, 6, 8)
    flow = even_flow(0.3, 0).clone().requires_grad_()
    warp(ramp, flow)[..., :-1].sum().backward()
    torch.testing.assert_close(flow.grad[:, 0, :, :-1], torch.ones(1, 6, 7))
    assert not flow.grad[:, 1].any()


def test_it_is_the_same_under_autocast():
    second, flow = noise(1, 3, 6, 8), 4 * noise(1, 2, 6, 8, seed=1) - 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = warp(second, flow)
    assert torch.equal(made, warp(second, flow))


def test_what_leaves_the_picture_is_not_inside():
    inside = lands_inside(even_flow(2, 0))
    assert inside[:, :, :-2].all()
    assert not inside[:, :, -2:].any()


def test_flows_that_undo_each_other_are_seen_in_both_and_others_are_not():
    there, back = even_flow(2, 0), even_flow(-2, 0)
    assert torch.equal(is_seen_in_both(there, back), lands_inside(there))
    # what lands there has not moved: it covers what came
    assert not is_seen_in_both(there, even_flow(0, 0)).any()


def test_a_finer_flow_leads_as_far_in_shares_of_the_picture():
    found = finer(even_flow(1, 2, height=3, width=4), 6, 12)
    torch.testing.assert_close(found, even_flow(3, 4, height=6, width=12))


@pytest.mark.parametrize("size", [(5, 7), (1, 3)])
def test_no_flow_changes_nothing_at_odd_sizes(size):
    second = noise(2, 3, *size)
    torch.testing.assert_close(warp(second, torch.zeros(2, 2, *size)), second)
