"""A crop that moves over a clip shows what a plain cut of each whole picture does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from worldmodel_train.data.augment import draw_crop
from worldmodel_train.data.config import AugmentConfig
from worldmodel_train.data.decoding.auto_decoder import decord_is_installed, make_decoder
from worldmodel_train.data.decoding.crop import Crop, MovingCrop, frame_crop
from worldmodel_train.facts import FrameSize

SIZE = FrameSize(24, 32)
WIDTH, HEIGHT = 160, 120
AUGMENT = AugmentConfig(size=SIZE, scale=(0.1, 1.0), motion_shift=True)


def drawn(seed, **changes):
    augment = AUGMENT.model_copy(update=changes)
    return draw_crop(augment, np.random.default_rng(seed), "bilinear")


def plain_cuts(pictures, crop):
    """The description in PyTorch: four numbers go evenly from one box to the other."""
    ends = [vars(end.box(WIDTH, HEIGHT, SIZE)) for end in (crop.first, crop.last)]
    path = {
        # where a step ends on a whole pixel, fp32 may be a rounding below it
        name: (torch.linspace(ends[0][name], ends[1][name], len(pictures)).double() + 1e-4).int()
        for name in ends[0]
    }
    for number, picture in enumerate(pictures):
        left, top, width, height = (
            int(path[name][number]) for name in ("left", "top", "width", "height")
        )
        cut = torch.from_numpy(picture).permute(2, 0, 1)[None]
        cut = cut[..., top : top + height, left : left + width].float()
        small = functional.interpolate(cut, SIZE, mode="bilinear", align_corners=False)
        yield (small.flip(-1) if crop.flip else small)[0].permute(1, 2, 0)


@pytest.fixture(scope="module")
def video(make_video):
    """Each frame is of one noisy picture, a little lighter than the one before."""
    blocks = np.random.default_rng(0).integers(40, 215, (HEIGHT // 8, WIDTH // 8, 3))
    return make_video(8, picture=blocks.repeat(8, 0).repeat(8, 1).astype(np.uint8))


@pytest.fixture(params=["pyav", "decord"])
def decoder(request):
    if request.param == "decord" and not decord_is_installed():
        pytest.skip("decord has no package for this platform")
    return make_decoder(request.param)


@pytest.mark.parametrize("fps", [10.0, 20.0])  # at 20 each frame is shown twice
@pytest.mark.parametrize("seed", range(3))
def test_each_picture_is_cut_where_the_box_is_by_then(decoder, make_request, video, seed, fps):
    crop = drawn(seed)
    whole = make_request(frames=8, fps=fps, size=(HEIGHT, WIDTH))
    pictures = decoder.decode(video, whole).clip
    moving = make_request(frames=8, fps=fps, size=SIZE, crop=crop)
    clip = decoder.decode(video, moving).clip
    for found, expected in zip(clip, plain_cuts(pictures, crop), strict=True):
        # OpenCV counts in 1/2048 of a grey level and rounds
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1)


def test_the_first_and_the_last_picture_are_those_of_crops_that_stand(make_request, video):
    crop, decoder = drawn(4), make_decoder("pyav")
    moving, first, last = (
        decoder.decode(video, make_request(frames=8, size=SIZE, crop=one)).clip
        for one in (crop, crop.first, Crop(**{**vars(crop.last), "flip": crop.flip}))
    )
    np.testing.assert_array_equal(moving[0], first[0])
    np.testing.assert_array_equal(moving[-1], last[-1])
    assert np.abs(moving.astype(int) - first).max() > 20


@given(seed=st.integers(0, 10_000), sides=st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
def test_every_box_lies_inside_the_picture_and_goes_evenly(seed, sides):
    width, height = sides
    crop = draw_crop(AUGMENT, np.random.default_rng(seed))
    boxes = [
        MovingCrop(first=crop.first, last=crop.last, place=place, frames=9).box(width, height, SIZE)
        for place in range(9)
    ]
    assert boxes[0] == crop.first.box(width, height, SIZE)
    assert boxes[-1] == crop.last.box(width, height, SIZE)
    for box in boxes:
        assert 0 <= box.left < box.left + box.width <= width
        assert 0 <= box.top < box.top + box.height <= height
    steps = np.diff([[box.left, box.top, box.width, box.height] for box in boxes], axis=0)
    assert (np.ptp(steps, axis=0) <= 1).all()


def test_both_boxes_are_drawn_alike_and_each_for_itself():
    crops = [drawn(seed) for seed in range(400)]
    still = [drawn(seed, motion_shift=False) for seed in range(400)]
    assert [crop.first for crop in crops] == still
    shares = [
        np.array([(box.width * box.height) / (WIDTH * HEIGHT) for box in boxes])
        for boxes in zip(
            *((c.first.box(WIDTH, HEIGHT, SIZE), c.last.box(WIDTH, HEIGHT, SIZE)) for c in crops),
            strict=True,
        )
    ]
    assert abs(shares[0].mean() - shares[1].mean()) < 0.05  # 400 of a spread of 0.25: 0.018
    assert abs(np.corrcoef(shares)[0, 1]) < 0.2  # four times the spread of no correlation


def test_one_picture_shows_the_first_box(make_request, video):
    crop = drawn(2)
    moving, still = (
        make_decoder("pyav").decode(video, make_request(frames=1, size=SIZE, crop=one)).clip
        for one in (crop, crop.first)
    )
    np.testing.assert_array_equal(moving, still)


def test_a_large_picture_is_cut_before_it_is_scaled_so_that_the_box_does_not_shake():
    crop = draw_crop(AUGMENT, np.random.default_rng(1))
    framing = frame_crop(crop, width=1920, height=1080, size=SIZE)
    assert (framing.width, framing.height) == (1920, 1080)
    assert framing.box == crop.box(1920, 1080, SIZE)
