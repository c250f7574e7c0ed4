from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from worldmodel_train.evaluation.robustness.corruptions import CORRUPTIONS, GREY, corrupted

IDENTITY = dict.fromkeys(CORRUPTIONS, 0.0) | {"slow_motion": 1.0}
every_corruption = pytest.mark.parametrize("name", CORRUPTIONS)


@pytest.fixture
def clips():
    """Frames of random pixels that wander off slowly, as those of a video do."""
    generator = torch.Generator().manual_seed(0)
    steps = 12 * torch.randn(6, 9, 24, 32, 3, generator=generator)
    first = 255 * torch.rand(6, 1, 24, 32, 3, generator=generator)
    return (first + steps.cumsum(dim=1)).clamp(0, 255).to(torch.uint8)


def change(clips, worse):
    return float((clips.float() - worse.float()).square().mean())


@every_corruption
def test_none_of_it_leaves_every_bit(clips, name):
    assert torch.equal(corrupted(clips, name, IDENTITY[name], seed=0), clips)


@every_corruption
def test_more_of_it_changes_pixels_more(clips, name):
    changes = [
        change(clips, corrupted(clips, name, strength, seed=0))
        for strength in (IDENTITY[name], *CORRUPTIONS[name].strengths)
    ]
    assert all(less < more for less, more in pairwise(changes)), changes


@every_corruption
def test_a_seed_gives_a_clip_the_same_whatever_follows_it(clips, name):
    strength = CORRUPTIONS[name].strengths[2]
    worse = corrupted(clips, name, strength, seed=3)
    assert torch.equal(corrupted(clips[:2], name, strength, seed=3), worse[:2])


@pytest.mark.parametrize("name", ["gaussian_noise", "occlusion", "dropped_frames"])
def test_another_seed_and_another_clip_draw_anew(clips, name):
    same = clips[:1].expand(2, -1, -1, -1, -1)
    strength = CORRUPTIONS[name].strengths[2]
    worse = corrupted(same, name, strength, seed=0)
    assert not torch.equal(worse[0], worse[1])
    assert not torch.equal(worse, corrupted(same, name, strength, seed=1))


@pytest.mark.parametrize("sigma", CORRUPTIONS["gaussian_blur"].strengths)
def test_blur_is_that_of_scipy_in_float64(clips, sigma):
    blurred = corrupted(clips[:1], "gaussian_blur", sigma, seed=0)
    expected = gaussian_filter(
        clips[:1].double().numpy(), sigma=(0, 0, sigma, sigma, 0), mode="nearest"
    )
    assert np.abs(blurred.double().numpy() - expected).max() <= 1


def test_noise_has_the_standard_deviation_that_it_says():
    grey = torch.full((1, 4, 32, 32, 3), GREY, dtype=torch.uint8)
    noise = corrupted(grey, "gaussian_noise", 16.0, seed=0).float() - GREY
    assert noise.std().item() == pytest.approx(16, rel=0.03)
    assert abs(noise.mean().item()) < 0.5


def test_a_square_stays_at_its_place_and_a_larger_one_covers_it(clips):
    black = torch.zeros_like(clips)
    squares = [
        corrupted(black, "occlusion", side, seed=0) == GREY
        for side in CORRUPTIONS["occlusion"].strengths
    ]
    assert [int(square[0, 0, ..., 0].sum()) for square in squares] == [
        size**2 for size in (5, 7, 10, 12, 14)
    ]
    for less, more in pairwise(squares):
        assert torch.equal(less, less[:, :1].expand_as(less))
        assert not (less & ~more).any()


def test_a_dropped_frame_shows_the_last_one_kept():
    counting = torch.arange(9, dtype=torch.uint8).reshape(1, 9, 1, 1, 1)
    shown = corrupted(counting, "dropped_frames", 0.5, seed=0).flatten().tolist()
    kept = [frame for frame in range(9) if shown[frame] == frame]
    assert len(kept) == 5
    assert kept[0] == 0
    assert shown == [max(one for one in kept if one <= frame) for frame in range(9)]


def test_slow_motion_shows_the_beginning_for_longer():
    counting = torch.arange(8, dtype=torch.uint8).reshape(1, 8, 1, 1, 1)
    assert corrupted(counting, "slow_motion", 2.0, seed=0).flatten().tolist() == [
        0, 0, 1, 1, 2, 2, 3, 3,
    ]  # fmt: skip


def test_what_is_too_bright_is_white():
    clip = torch.tensor([0, 100, 250], dtype=torch.uint8).reshape(1, 1, 1, 1, 3)
    assert corrupted(clip, "brightness", 16.0, seed=0).flatten().tolist() == [16, 116, 255]


@pytest.mark.parametrize("name", ["dropped_frames", "slow_motion"])
def test_a_single_frame_has_no_time_to_lose(name):
    clip = torch.zeros(1, 1, 2, 2, 3, dtype=torch.uint8)
    assert torch.equal(corrupted(clip, name, CORRUPTIONS[name].strengths[-1], seed=0), clip)
