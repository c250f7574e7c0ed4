import cv2
import numpy as np
import pytest
import torch

from worldmodel_train.masks.salient_regions import (
    otsu_threshold,
    salient_regions,
    sequence_masks,
)
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(1, 4, 8)


@pytest.mark.parametrize("seed", range(5))
def test_otsu_parts_values_as_opencv_does(seed):
    drawn = np.random.default_rng(seed)
    values = np.concatenate((drawn.normal(60, 20, 300), drawn.normal(160, 15, 100)))
    values = values.clip(1, 254)
    values[:2] = 0, 255  # so that 256 bins are whole numbers in both
    values = values.astype(np.uint8)
    threshold, _ = cv2.threshold(values, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ours = otsu_threshold(values[None].astype(float))[0, 0]
    # a bin is 255/256 wide, so an edge may lie a bin away from the whole number
    assert (
        abs((values > ours).sum() - (values > threshold).sum())
        <= (np.abs(values.astype(float) - threshold) <= 1).sum()
    )


def test_otsu_does_not_depend_on_scale_or_shift():
    values = np.random.default_rng(0).normal(size=(3, 64))
    upper = values > otsu_threshold(values)
    assert upper.any(axis=1).all()
    assert not upper.all(axis=1).any()
    moved = 100 * values - 7
    assert np.array_equal(moved > otsu_threshold(moved), upper)


def picture(text, grid=GRID):
    """A digit is how salient a token is."""
    return np.array([float(c) for c in text.split() for c in c]).reshape(grid.num_tokens)


def test_regions_are_in_the_order_of_their_saliency_and_the_background_is_last():
    saliency = picture("""
        77000099
        77000099
        77000099
        00000000
    """)
    first, second, background = salient_regions(saliency, GRID, most=5, least_area=0.15)
    assert np.array_equal(first, saliency == 9)
    assert np.array_equal(second, saliency == 7)
    assert np.array_equal(background, saliency == 0)


def test_corners_touch_and_so_do_neighbours_in_time():
    saliency = picture("""
        99000000
        99000000
        00990000
        00990000
    """)
    assert len(salient_regions(saliency, GRID, most=5, least_area=0.1)) == 2
    clip, grid = np.zeros((2, 4, 8)), TokenGrid(2, 4, 8)
    clip[0, 1, 1] = clip[1, 2, 2] = 1
    assert len(salient_regions(clip.ravel(), grid, most=5, least_area=0.01)) == 2


def test_small_regions_belong_to_the_background_and_one_that_is_alone_may_be_small():
    saliency = picture("""
        77000009
        77000000
        77000000
        00000000
    """)
    first, background = salient_regions(saliency, GRID, most=5, least_area=0.15)
    assert np.array_equal(first, saliency == 7)
    assert np.array_equal(background, saliency != 7)
    first, _ = salient_regions(saliency, GRID, most=5, least_area=0.5)
    assert np.array_equal(first, saliency == 7)  # the largest, where none is large enough


def test_no_more_regions_than_asked_for_the_least_salient_go_to_the_background():
    saliency = picture("""
        70080090
        70080090
        70080090
        00000000
    """)
    first, second, background = salient_regions(saliency, GRID, most=3, least_area=0.05)
    assert np.array_equal(first, saliency == 9)
    assert np.array_equal(second, saliency == 8)
    assert np.array_equal(background, saliency < 8)


def test_what_does_not_vary_still_has_something_to_predict_from():
    first, background = salient_regions(np.ones(32), GRID, most=5, least_area=0.15)
    assert first.sum() == 1
    assert np.array_equal(first, ~background)


@pytest.mark.parametrize("seed", range(20))
def test_regions_part_all_tokens_whatever_is_salient(seed):
    saliency = np.random.default_rng(seed).normal(size=(2, 4, 4))
    saliency = (saliency + np.roll(saliency, 1, axis=1) + np.roll(saliency, 1, axis=2)).ravel()
    regions = salient_regions(saliency, TokenGrid(2, 4, 4), most=5, least_area=0.05)
    assert (np.sum(regions, axis=0) == 1).all()
    assert all(region.any() for region in regions)
    means = [saliency[region].mean() for region in regions[:-1]]
    assert means == sorted(means, reverse=True)


def members(index, valid):
    return [set(i[v].tolist()) for i, v in zip(index, valid, strict=True)]


def of(mask):
    context = torch.ones_like(mask.context_index, dtype=torch.bool)
    target = torch.ones_like(mask.target_index, dtype=torch.bool)
    context = context if mask.context_valid is None else mask.context_valid
    target = target if mask.target_valid is None else mask.target_valid
    return (
        members(mask.context_index, context),
        members(mask.target_index[:, 0], target[:, 0]),
    )


def test_each_step_sees_all_regions_before_the_one_it_predicts_and_nothing_of_it():
    """The released code shows R1 to predict R2, then R1 to predict R3, then R1 and R2 for R4."""
    numbers = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    other = np.array([1, 1, 1, 1, 0, 0, 0, 0])  # two regions only
    regions = [[numbers == k for k in range(4)], [other == k for k in range(2)]]
    steps = sequence_masks(regions)
    assert len(steps) == 3
    for k, mask in enumerate(steps):
        (context, _), (target, _) = of(mask)
        assert context == set(np.flatnonzero(numbers <= k))
        assert target == set(np.flatnonzero(numbers == k + 1))
    (_, context), (_, target) = of(steps[0])
    assert (context, target) == ({4, 5, 6, 7}, {0, 1, 2, 3})
    for mask in steps[1:]:
        (_, context), (_, target) = of(mask)
        assert context == {4, 5, 6, 7}
        assert target == set()
