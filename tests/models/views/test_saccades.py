"""Fixations fall where something is or moves, and do not return; patches are the clip's own."""

import pytest
import torch
from pydantic import ValidationError

from worldmodel_train.models.views.saccades import Saccades, saliency

SIZE = 8


def noise(number=4, frames=3):
    generator = torch.Generator().manual_seed(0)
    shape = (number, frames, 32, 24, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def something_moves(frames=4):
    """A still checkerboard on the left, and a small one on the right that comes and goes."""
    clips = torch.full((1, frames, 32, 32, 3), 128, dtype=torch.uint8)
    clips[:, :, :8:2, :8:2] = 255
    clips[:, ::2, 24:, 24:] = 255
    return clips


def corners(views, clips):
    """Upper left pixels of the patches, `number b 2` (row, column)."""
    height, width = clips.shape[2:4]
    place = torch.stack([view.change[:, :2] for view in views])
    middle = (place + 1) / 2 * torch.tensor([width, height])
    return (middle - SIZE / 2).round().long().flip(-1)


def test_patches_are_the_clips_own_pixels_at_their_places():
    clips = noise()
    torch.manual_seed(0)
    views = Saccades(name="saccades", size=SIZE).draw_several(clips, 3)
    for view, places in zip(views, corners(views, clips), strict=True):
        for patch, clip, (row, column) in zip(view.pixels, clips, places.tolist(), strict=True):
            assert 0 <= row <= 32 - SIZE
            assert 0 <= column <= 24 - SIZE
            assert torch.equal(patch, clip[:, row : row + SIZE, column : column + SIZE])
        # what was done is where it looks, and how large a part that is; nothing else
        width, height = view.change[0, 2:4].tolist()
        assert (width, height) == pytest.approx((SIZE / 24, SIZE / 32))
        assert view.change[:, 4:].tolist() == 4 * [[0, 0, 1, 1, 1, 0, 0, 0, 0]]


def test_none_returns_to_within_half_a_patch():
    clips = noise(number=64)
    torch.manual_seed(0)
    views = Saccades(name="saccades", size=SIZE).draw_several(clips, 3)
    places = corners(views, clips)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        apart = (places[first] - places[second]).abs().amax(dim=-1)
        assert apart.min() > SIZE / 2


def test_none_returns_where_nothing_is_left_that_draws_the_eye():
    """All contrast is around one pixel: a place far from it has none, and is still not taken."""
    clips = torch.zeros(64, 1, 32, 24, 3, dtype=torch.uint8)
    clips[:, :, 4, 4] = 255
    torch.manual_seed(0)
    views = Saccades(name="saccades", size=SIZE, inhibition=1.0).draw_several(clips, 3)
    places = corners(views, clips)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        apart = (places[first] - places[second]).abs().amax(dim=-1)
        assert apart.min() > SIZE


def test_without_inhibition_they_do_return():
    clips = noise(number=256)
    torch.manual_seed(0)
    views = Saccades(name="saccades", size=SIZE, inhibition=0.0).draw_several(clips, 2)
    one, other = corners(views, clips)
    assert (one - other).abs().amax(dim=-1).min() <= SIZE / 2


def test_where_all_is_inhibited_it_still_looks_somewhere():
    clips = noise()
    torch.manual_seed(0)
    views = Saccades(name="saccades", size=SIZE, inhibition=9.0).draw_several(clips, 4)
    assert len(views) == 4


@pytest.mark.parametrize(("motion", "row", "column"), [(0.0, 0, 0), (1.0, 24, 24)])
def test_the_first_fixation_follows_contrast_or_motion(motion, row, column):
    density = Saccades(name="saccades", size=SIZE, motion=motion).density(something_moves())[0]
    likeliest = divmod(int(density.argmax()), density.shape[1])
    assert (likeliest[0] - row) ** 2 + (likeliest[1] - column) ** 2 <= 8
    assert float(density.sum()) == pytest.approx(1.0)


def test_fixations_are_as_frequent_as_their_density_says():
    clips = something_moves().expand(2000, -1, -1, -1, -1)
    config = Saccades(name="saccades", size=SIZE)
    torch.manual_seed(0)
    column = corners(config.draw_several(clips, 1), clips)[0, :, 1]
    right = float(config.density(clips[:1])[0, :, 12:].sum())
    # 2000 draws: three standard deviations of the share are .034
    assert float((column >= 12).float().mean()) == pytest.approx(right, abs=0.034)
    assert 0.1 < right < 0.9


def test_an_image_is_seen_by_contrast_and_a_blank_one_anywhere():
    image = something_moves()[:, :1]
    torch.testing.assert_close(saliency(image, 1.0), saliency(image, 0.0))
    blank = torch.zeros(200, 1, 32, 32, 3, dtype=torch.uint8)
    torch.manual_seed(0)
    views = Saccades(name="saccades", size=SIZE).draw_several(blank, 1)
    assert len(corners(views, blank)[0].unique(dim=0)) > 100


def test_views_are_drawn_again_from_a_seed():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        views = Saccades(name="saccades", size=SIZE).draw_several(noise(), 2)
        drawn.append(torch.stack([view.pixels for view in views]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_share_of_motion_beyond_all_is_refused():
    with pytest.raises(ValidationError, match="motion"):
        Saccades(name="saccades", size=SIZE, motion=1.5)
