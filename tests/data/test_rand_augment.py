"""Each operation is what its formula says, and all frames of a clip are changed alike."""

import numpy as np
import pytest
from PIL import Image

from worldmodel_train.data.augment_config import RandAugmentConfig
from worldmodel_train.data.rand_augment import GREY, NAMES, OPERATIONS, change, draw_operations

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(30, 220, (20, 20, 3), dtype=np.uint8)
RAMP = np.broadcast_to(np.arange(60, 160, 5, dtype=np.uint8)[None, :, None], (20, 20, 3))
INSIDE = np.s_[5:15, 5:15]
"""Far enough from where nothing is."""


def changed(name, share, sign=1, picture=PICTURE):
    return np.asarray(OPERATIONS[name](share, sign)(Image.fromarray(picture))).astype(int)


def luma(picture):
    """ITU-R 601-2, as JPEG has it."""
    return (picture @ np.array([0.299, 0.587, 0.114])).round()[..., None]


def equalized(channel):
    """The values by how many pixels are darker, as histogram equalisation has it."""
    counts = np.bincount(channel.ravel(), minlength=256)
    step = (counts.sum() - counts[counts.nonzero()[0][-1]]) // 255
    darker = np.concatenate([[0], counts.cumsum()[:-1]])
    return ((step // 2 + darker) // step)[channel]


EXACT = {
    ("invert", 0.7): lambda x: 255 - x,
    ("posterize", 0.0): lambda x: x // 16 * 16,
    ("posterize", 0.7): lambda x: x // 64 * 64,
    ("posterize", 1.0): lambda x: 0 * x,
    ("solarize", 0.0): lambda x: x,
    ("solarize", 0.7): lambda x: np.where(x < 77, x, 255 - x),
    ("solarize_add", 0.7): lambda x: np.where(x < 128, x + 77, x),
}


@pytest.mark.parametrize(("name", "share"), EXACT)
def test_what_each_value_becomes_by_itself(name, share):
    assert np.array_equal(changed(name, share), EXACT[name, share](PICTURE.astype(int)))


def test_contrast_is_stretched_to_all_values_of_each_channel():
    pixels = PICTURE.astype(int).reshape(-1, 3)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    expected = (PICTURE - low) * 255 / (high - low)
    assert np.abs(changed("auto_contrast", 0.3) - expected).max() <= 1


def test_equalised_values_are_the_shares_of_darker_pixels():
    large = np.random.default_rng(1).normal(110, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    found = changed("equalize", 0.3, picture=large)
    expected = np.stack([equalized(large[..., channel]) for channel in range(3)], axis=-1)
    assert np.array_equal(found, expected.clip(0, 255))


def smoothed(picture):
    """A mean over neighbours in which the pixel itself counts five times."""
    height, width, _ = picture.shape
    total = 4 * picture[1:-1, 1:-1].astype(float)
    for down in range(3):
        for right in range(3):
            total += picture[down : height - 2 + down, right : width - 2 + right]
    padded = picture.astype(float)
    padded[1:-1, 1:-1] = total / 13
    return padded


@pytest.mark.parametrize(
    ("name", "nothing"),
    [
        ("brightness", lambda x: 0.0 * x),
        ("contrast", lambda x: 0 * x + luma(x).mean().round()),
        ("colour", luma),
        ("sharpness", smoothed),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_enhancing_moves_away_from_what_has_nothing_of_it(name, nothing, sign):
    picture, base = PICTURE.astype(float), nothing(PICTURE)
    expected = (base + (1 + sign * 0.9 * 0.7) * (picture - base)).clip(0, 255)
    found = changed(name, 0.7, sign)
    assert np.abs(found - expected)[1:-1, 1:-1].max() <= 2  # of two roundings


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("name", "axis"), [("translate_x", 1), ("translate_y", 0)])
def test_moving_brings_grey_in(name, axis, sign):
    found, pixels = changed(name, 1.0, sign), sign * 9
    expected = np.roll(PICTURE, -pixels, axis=axis).swapaxes(0, axis)
    expected[slice(-9, None) if sign > 0 else slice(0, 9)] = GREY
    assert np.array_equal(found, expected.swapaxes(0, axis))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("name", "right", "down", "fixed_row"),
    [
        ("shear_x", 1.0, 0.3 * 0.5, 0),
        ("rotate", np.cos(np.radians(15)), -np.sin(np.radians(15)), 10),
    ],
)
def test_a_slope_is_turned(name, right, down, fixed_row, sign):
    """A picture that brightens by 5 a pixel to the right; it is turned counter-clockwise."""
    found = changed(name, 0.5, sign, RAMP)[INSIDE]
    assert np.abs(np.diff(found[..., 0], axis=1).mean() - 5 * right) < 0.2
    assert np.abs(np.diff(found[..., 0], axis=0).mean() - 5 * sign * down) < 0.2
    assert abs(found.mean() - RAMP.mean() - 5 * sign * down * (10 - fixed_row)) < 1


def test_shearing_down_is_shearing_right_of_the_picture_on_its_side():
    side = np.ascontiguousarray(PICTURE.swapaxes(0, 1))
    down = changed("shear_y", 0.6, -1, side).swapaxes(0, 1)
    assert np.abs(down - changed("shear_x", 0.6, -1)).max() <= 1


def test_nothing_is_moved_or_enhanced_at_magnitude_none():
    kept = [name for name in NAMES if np.array_equal(changed(name, 0.0), PICTURE)]
    assert kept == [
        "rotate", "solarize", "solarize_add", "colour", "contrast", "brightness", "sharpness",
        "shear_x", "shear_y", "translate_x", "translate_y",
    ]  # fmt: skip


def test_all_frames_are_changed_alike_and_as_the_generator_says():
    clips = [np.repeat(PICTURE[None], 3, axis=0) for _ in range(12)]
    for seed, clip in enumerate(clips):
        change(clip, draw_operations(RandAugmentConfig(), np.random.default_rng(seed // 2)))
        assert np.array_equal(clip, np.repeat(clip[:1], 3, axis=0))
    assert all(np.array_equal(*clips[i : i + 2]) for i in range(0, 12, 2))
    assert len({clip.tobytes() for clip in clips}) == 6


def test_half_of_the_drawn_operations_are_done():
    config = RandAugmentConfig(operations=4, magnitude=7)
    rng = np.random.default_rng(0)
    counts = np.array([len(draw_operations(config, rng)) for _ in range(400)])
    assert abs(counts.mean() - 2) < 0.2
    assert np.array_equal(np.unique(counts), np.arange(5))
    assert abs((counts == 0).mean() - 1 / 16) < 0.04
