import numpy as np

from worldmodel_train.data.augment import draw_crop
from worldmodel_train.data.config import AugmentConfig
from worldmodel_train.data.random_streams import Stream, generator
from worldmodel_train.facts import FrameSize

SQUARE = FrameSize(64, 64)
AUGMENT = AugmentConfig(size=64, scale=(0.3, 0.6), aspect=(0.75, 1.35), flip=0.25)


def crops(count):
    return [draw_crop(AUGMENT, generator(Stream.CLIP, 7, i, 0)) for i in range(count)]


def test_a_crop_is_a_function_of_the_generator():
    assert crops(20) == crops(20)
    assert len(set(crops(20))) == 20


def test_crops_keep_the_configured_share_and_shape():
    boxes = [crop.box(640, 360, SQUARE) for crop in crops(300)]
    shares = np.array([box.width * box.height for box in boxes]) / (640 * 360)
    aspects = np.array([box.width / box.height for box in boxes])
    assert 0.29 < shares.min() < 0.35
    assert 0.55 < shares.max() < 0.61
    assert 0.74 < aspects.min() < 0.8
    assert 1.28 < aspects.max() < 1.36


def test_crops_of_a_wide_clip_are_as_wide_and_no_more_stretched():
    boxes = [crop.box(640, 360, FrameSize(96, 160)) for crop in crops(300)]
    shares = np.array([box.width * box.height for box in boxes]) / (640 * 360)
    stretches = np.array([box.width / box.height for box in boxes]) / (160 / 96)
    assert 0.29 < shares.min() < 0.35
    assert 0.55 < shares.max() < 0.61
    assert 0.74 < stretches.min() < 0.8
    assert 1.28 < stretches.max() < 1.36


def test_crops_land_everywhere_and_flip_as_often_as_asked():
    drawn = crops(400)
    assert 0.45 < np.mean([crop.x for crop in drawn]) < 0.55
    assert 0.18 < np.mean([crop.flip for crop in drawn]) < 0.32


def test_no_fitting_shape_gives_the_largest_box_of_an_allowed_shape():
    wide = AugmentConfig(size=64, scale=(1.0, 1.0), aspect=(3.0, 3.1))
    box = draw_crop(wide, np.random.default_rng(0)).box(100, 200, SQUARE)
    assert (box.width, box.height) == (100, 33)
