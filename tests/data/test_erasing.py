"""Erasing fills one box of a clip with noise that is normal to an encoder."""

import numpy as np
import pytest

from worldmodel_train.data.augment_config import ErasingConfig
from worldmodel_train.data.erasing import MEAN, STD, ErasedBox, draw_box, erase
from worldmodel_train.facts import FrameSize
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD

WIDE = FrameSize(100, 200)


def boxes(**changes):
    config, rng = ErasingConfig(**{"probability": 1.0} | changes), np.random.default_rng(0)
    return [draw_box(config, WIDE, rng) for _ in range(1000)]


def test_boxes_have_the_configured_area_and_shape_and_lie_inside():
    drawn = [box for box in boxes() if box is not None]
    assert len(drawn) == 1000
    area = np.array([box.height * box.width for box in drawn]) / (100 * 200)
    stretch = np.array([box.width / box.height for box in drawn]) / (200 / 100)
    assert 0.018 < area.min() < 0.025
    assert 0.3 < area.max() < 0.34
    assert 0.27 < stretch.min() < 0.35
    assert 2.8 < stretch.max() < 3.6
    assert all(0 <= box.top <= 100 - box.height for box in drawn)
    assert all(0 <= box.left <= 200 - box.width for box in drawn)


def test_as_many_clips_as_asked_lose_a_box():
    assert abs(np.mean([box is not None for box in boxes(probability=0.25)]) - 0.25) < 0.04
    assert set(boxes(probability=0.0)) == {None}


def test_where_no_box_fits_nothing_is_erased():
    assert set(boxes(area=(1.0, 1.0))) == {None}


def test_the_box_is_normal_noise_and_nothing_else_changes():
    frames = np.full((4, 60, 80, 3), 7, dtype=np.uint8)
    erase(frames, ErasedBox(top=10, left=20, height=40, width=50), np.random.default_rng(0))
    erased = frames[:, 10:50, 20:70]
    normal = (erased / 255 - MEAN) / STD
    assert np.abs(normal.mean(axis=(0, 1, 2))).max() < 0.05
    assert np.abs(normal.std(axis=(0, 1, 2)) - 1).max() < 0.05
    assert len({frame.tobytes() for frame in erased}) == 4
    frames[:, 10:50, 20:70] = 7
    assert (frames == 7).all()


def test_noise_is_normal_by_what_encoders_normalise_by():
    assert (MEAN, STD) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize("key", ["area", "aspect"])
def test_ranges_that_are_none_are_refused(key):
    with pytest.raises(ValueError, match=rf"{key}=\[0\.5, 0\.2\] must be \[least, most\]"):
        ErasingConfig(**{key: (0.5, 0.2)})
