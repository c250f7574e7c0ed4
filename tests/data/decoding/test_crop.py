import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.decoding.crop import CENTER_CROP, Box, Crop, frame_crop

UNIT = st.floats(0, 1)
SHAPES = st.lists(st.tuples(st.floats(0.05, 1), st.floats(0.3, 3)), max_size=4)
SIDES = st.integers(1, 4000)


@given(
    shapes=SHAPES,
    place=st.tuples(UNIT, UNIT),
    sides=st.tuples(SIDES, SIDES),
    size=st.sampled_from([16, 96, 256]),
)
def test_the_box_lies_inside_the_picture_before_and_after_scaling(shapes, place, sides, size):
    (width, height), (x, y) = sides, place
    crop = Crop(shapes=tuple(shapes), x=x, y=y, aspect=(0.75, 1.35))
    box = crop.box(width, height)
    framing = frame_crop(crop, width=width, height=height, size=size)
    for area, w, h in ((box, width, height), (framing.box, framing.width, framing.height)):
        assert area.left >= 0
        assert area.top >= 0
        assert 0 < area.width <= w - area.left
        assert 0 < area.height <= h - area.top


def test_a_large_picture_is_scaled_before_it_is_copied():
    framing = frame_crop(CENTER_CROP, width=1920, height=1080, size=256)
    assert framing.width * framing.height < 1920 * 1080 / 10
    assert (framing.box.width, framing.box.height) == (256, 256)


def test_a_small_picture_is_decoded_as_it_is():
    framing = frame_crop(CENTER_CROP, width=320, height=180, size=128)
    assert (framing.width, framing.height) == (320, 180)


def test_the_centre_crop_is_the_middle_square():
    picture = np.zeros((20, 40, 3), dtype=np.uint8)
    picture[:, 10:30] = 255
    cut = frame_crop(CENTER_CROP, width=40, height=20, size=16).cut(picture, 16)
    assert cut.shape == (16, 16, 3)
    assert (cut == 255).all()


@given(shapes=SHAPES, x=UNIT)
def test_cuts_have_the_clip_size(shapes, x):
    crop = Crop(shapes=tuple(shapes), x=x)
    picture = np.zeros((37, 53, 3), dtype=np.uint8)
    assert frame_crop(crop, width=53, height=37, size=24).cut(picture, 24).shape == (24, 24, 3)


def test_every_place_is_as_likely_and_the_last_is_reached():
    lefts = [Crop(shapes=((0.25, 1.0),), x=(i + 0.5) / 100).box(8, 8).left for i in range(100)]
    assert [lefts.count(left) for left in range(5)] == [20] * 5
    assert Crop(shapes=((0.25, 1.0),), x=1.0).box(8, 8).left == 4


@pytest.mark.parametrize(
    ("sides", "box"),
    [
        ((100, 200), Box(left=0, top=33, width=100, height=133)),
        ((200, 100), Box(left=33, top=0, width=135, height=100)),
        ((110, 100), Box(left=0, top=0, width=110, height=100)),
    ],
)
def test_where_no_shape_fits_the_centre_is_cut_to_the_nearest_aspect_allowed(sides, box):
    crop = Crop(shapes=((1.0, 9.0), (1.0, 0.1)), x=0.9, y=0.1, aspect=(0.75, 1.35))
    found = crop.box(*sides)
    assert (found.width, found.height) == (box.width, box.height)
    assert abs(found.left - box.left) + abs(found.top - box.top) <= 1
