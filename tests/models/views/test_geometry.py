import pytest
import torch

from worldmodel_train.models.views.geometry import Crop, look_at, whole


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 2, 8, 12, 3), dtype=torch.uint8, generator=generator)


def at(x=0.0, y=0.0, wide=1.0, high=1.0, flip=0.0, turn=0.0):
    return torch.tensor([[x, y, wide, high, flip, turn]] * 3)


def test_the_whole_is_seen_as_it_is(clips):
    assert torch.equal(look_at(clips, whole(3), (8, 12)), clips)


def test_under_autocast_the_whole_is_still_seen_as_it_is(clips):
    large = clips.repeat(1, 1, 24, 16, 1)  # bf16 could not tell neighbouring pixels apart
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(look_at(large, whole(3), large.shape[2:4]), large)


def test_a_box_on_pixels_is_those_pixels(clips):
    # the upper right quarter: middle at (.5, -.5), half as wide and high
    seen = look_at(clips, at(0.5, -0.5, 0.5, 0.5), (4, 6))
    assert torch.equal(seen, clips[:, :, :4, 6:])


def test_mirroring_turns_left_and_right(clips):
    assert torch.equal(look_at(clips, at(flip=1.0), (8, 12)), clips.flip(3))


def test_a_mirrored_box_is_the_box_mirrored(clips):
    seen = look_at(clips, at(0.5, -0.5, 0.5, 0.5, flip=1.0), (4, 6))
    assert torch.equal(seen, clips[:, :, :4, 6:].flip(3))


def test_half_a_circle_turns_a_picture_over(clips):
    assert torch.equal(look_at(clips, at(turn=1.0), (8, 12)), clips.flip(2).flip(3))


def test_a_quarter_of_a_circle_turns_a_square(clips):
    square = clips[:, :, :, 2:10]
    turned = look_at(square, at(turn=0.5), (8, 8))
    assert torch.equal(turned, torch.rot90(square, dims=(2, 3)))


def test_drawn_boxes_lie_within_the_picture_and_have_the_areas_asked_for():
    torch.manual_seed(0)
    places = Crop(area=(0.2, 0.6), flip=0.3, turn=90).draw(4000)
    x, y, wide, high, flipped, turn = places.unbind(1)
    assert ((x.abs() + wide) <= 1 + 1e-6).all()
    assert ((y.abs() + high) <= 1 + 1e-6).all()
    area = wide * high
    assert area.min() >= 0.15  # a wide box may be cut to the picture
    assert area.max() <= 0.6 + 1e-6
    assert area.mean() == pytest.approx(0.4, abs=0.01)
    assert flipped.mean() == pytest.approx(0.3, abs=0.03)
    assert turn.abs().max() <= 0.5


def test_the_same_seed_draws_the_same_places():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(Crop().draw(5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
