import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.decoding.crop import (
    CENTER_CROP,
    Box,
    Crop,
    ShortSideCrop,
    frame_crop,
)
from worldmodel_train.facts import FrameSize

SMALL = FrameSize(16, 16)
UNIT = st.floats(0, 1)
SHAPES = st.lists(st.tuples(st.floats(0.05, 1), st.floats(0.3, 3)), max_size=4)
SIDES = st.integers(1, 4000)


@given(
    shapes=SHAPES,
    place=st.tuples(UNIT, UNIT),
    sides=st.tuples(SIDES, SIDES),
    size=st.sampled_from([(16, 16), (96, 160), (256, 256), (48, 16)]),
)
def test_the_box_lies_inside_the_picture_before_and_after_scaling(shapes, place, sides, size):
    (width, height), (x, y) = sides, place
    crop = Crop(shapes=tuple(shapes), x=x, y=y, stretch=(0.75, 1.35))
    size = FrameSize(*size)
    box = crop.box(width, height, size)
    framing = frame_crop(crop, width=width, height=height, size=size)
    for area, w, h in ((box, width, height), (framing.box, framing.width, framing.height)):
        assert area.left >= 0
        assert area.top >= 0
        assert 0 < area.width <= w - area.left
        assert 0 < area.height <= h - area.top


def test_a_large_picture_is_scaled_before_it_is_copied():
    framing = frame_crop(CENTER_CROP, width=1920, height=1080, size=FrameSize(256, 256))
    assert framing.width * framing.height < 1920 * 1080 / 10
    assert (framing.box.width, framing.box.height) == (256, 256)


def test_a_small_picture_is_decoded_as_it_is():
    framing = frame_crop(CENTER_CROP, width=320, height=180, size=FrameSize(128, 128))
    assert (framing.width, framing.height) == (320, 180)


def test_the_centre_crop_is_the_middle_square():
    picture = np.zeros((20, 40, 3), dtype=np.uint8)
    picture[:, 10:30] = 255
    cut = frame_crop(CENTER_CROP, width=40, height=20, size=SMALL).cut(picture, SMALL)
    assert cut.shape == (16, 16, 3)
    assert (cut == 255).all()


@given(sides=st.tuples(st.integers(40, 4000), st.integers(40, 4000)))
def test_the_centre_crop_of_a_wide_clip_is_the_largest_box_of_its_shape(sides):
    box = CENTER_CROP.box(*sides, FrameSize(96, 160))
    assert abs(box.width - box.height * 160 / 96) <= 1
    assert (box.width == sides[0]) or (box.height == sides[1])


@given(shapes=SHAPES, x=UNIT, sides=st.sampled_from([(24, 24), (8, 24), (40, 16)]))
def test_cuts_have_the_clip_size(shapes, x, sides):
    crop = Crop(shapes=tuple(shapes), x=x)
    picture = np.zeros((37, 53, 3), dtype=np.uint8)
    size = FrameSize(*sides)
    cut = frame_crop(crop, width=53, height=37, size=size).cut(picture, size)
    assert cut.shape == (*sides, 3)


@pytest.mark.parametrize("side", [16, 120])  # smaller and larger than the box
def test_a_bilinear_crop_looks_at_four_pixels(side):
    picture = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    crop, size = Crop(shapes=((0.4, 1.0),), resampling="bilinear"), FrameSize(side, side)
    framing = frame_crop(crop, width=160, height=90, size=size)
    assert (framing.width, framing.height) == (160, 90)
    box = framing.box
    part = picture[box.top : box.top + box.height, box.left : box.left + box.width]
    pixels = torch.from_numpy(part).permute(2, 0, 1)[None].float()
    meant = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=False)
    found = torch.from_numpy(framing.cut(picture, size)).permute(2, 0, 1)
    assert (found - meant[0]).abs().max() <= 1


@given(
    sides=st.tuples(st.integers(8, 900), st.integers(8, 900)),
    side=st.sampled_from([16, 56, 96]),
    views=st.integers(1, 4),
)
def test_published_views_lie_inside_the_scaled_picture(sides, side, views):
    short = side * 256 // 224 if views == 1 else side
    for view in range(views):
        crop = ShortSideCrop(short_side=short, view=view, views=views)
        size = FrameSize(side, side)
        framing = frame_crop(crop, width=sides[0], height=sides[1], size=size)
        assert (framing.width, framing.height) == sides
        assert min(framing.scaled) == short
        box = framing.box
        assert 0 <= box.left <= framing.scaled.width - side
        assert 0 <= box.top <= framing.scaled.height - side


def test_every_place_is_as_likely_and_the_last_is_reached():
    lefts = [
        Crop(shapes=((0.25, 1.0),), x=(i + 0.5) / 100).box(8, 8, SMALL).left for i in range(100)
    ]
    assert [lefts.count(left) for left in range(5)] == [20] * 5
    assert Crop(shapes=((0.25, 1.0),), x=1.0).box(8, 8, SMALL).left == 4


@pytest.mark.parametrize(
    ("sides", "box"),
    [
        ((100, 200), Box(left=0, top=33, width=100, height=133)),
        ((200, 100), Box(left=33, top=0, width=135, height=100)),
        ((110, 100), Box(left=0, top=0, width=110, height=100)),
    ],
)
def test_where_no_shape_fits_the_centre_is_cut_to_the_nearest_aspect_allowed(sides, box):
    crop = Crop(shapes=((1.0, 9.0), (1.0, 0.1)), x=0.9, y=0.1, stretch=(0.75, 1.35))
    found = crop.box(*sides, SMALL)
    assert (found.width, found.height) == (box.width, box.height)
    assert abs(found.left - box.left) + abs(found.top - box.top) <= 1
