import pytest
import torch

from worldmodel_train.data.pen_strokes import pen_stroke_clips


@pytest.fixture(scope="module")
def strokes():
    return pen_stroke_clips(6, 32, limit_characters=10)


def test_ink_is_only_added_and_the_first_frame_has_some(strokes):
    clips = strokes.clips.int()
    assert (clips.diff(dim=1) >= 0).all()
    assert (clips[:, 0].flatten(1).amax(1) > 0).all()
    assert (clips[:, -1].sum((1, 2, 3)) > clips[:, 0].sum((1, 2, 3))).float().mean() > 0.99


def test_the_last_frame_is_the_whole_drawing_whatever_the_number_of_frames(strokes):
    once = pen_stroke_clips(1, 32, limit_characters=10)
    # a line drawn in two parts has a few softer pixels where they meet
    difference = (strokes.clips[:, -1].int() - once.clips[:, 0].int()).abs().float()
    assert difference.mean() < 0.5
    assert difference.max() < 128


def test_every_drawer_draws_every_character_once(strokes):
    pairs = {(int(c), int(d)) for c, d in zip(strokes.character, strokes.drawer, strict=True)}
    assert pairs == {(c, d) for c in range(10) for d in range(20)}
    assert set(strokes.alphabet.tolist()) == set(range(5))
    assert len(strokes.character_names) == 10


def test_drawings_of_one_character_are_more_alike_than_others(strokes):
    # labels that do not belong to the pictures would make these equal
    last = strokes.clips[:, -1, ..., 0].float()
    small = torch.nn.functional.avg_pool2d(last, 4).flatten(1)
    distance = torch.cdist(small, small).fill_diagonal_(torch.inf)
    same = strokes.character[distance.argmin(1)] == strokes.character
    assert same.float().mean() > 0.5


def test_edges_are_soft_and_background_is_black(strokes):
    values = strokes.clips[:, -1].unique()
    assert values[0] == 0
    assert len(values) > 50
    assert 0.02 < (strokes.clips[:, -1] > 0).float().mean() < 0.35


def test_all_drawings_are_there_and_limits_that_leave_nothing_are_errors():
    assert len(pen_stroke_clips(1, 8).clips) == 2720
    assert len(pen_stroke_clips(1, 8, limit_drawers=3).clips) == 3 * 136
    with pytest.raises(ValueError, match="leave no drawing"):
        pen_stroke_clips(1, 8, limit_characters=0)
    with pytest.raises(ValueError, match="frames=0"):
        pen_stroke_clips(0, 8)
