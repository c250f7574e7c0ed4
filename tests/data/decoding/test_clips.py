import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.decoding.clips import clip_times, frames_at

STAMPS = st.lists(st.floats(0, 100), min_size=1, max_size=40, unique=True).map(sorted)


def chosen(stamps, *, end, frames, fps, start=0.0):
    times = clip_times(float(stamps[0]), float(end), frames=frames, fps=float(fps), start=start)
    return frames_at(np.array(stamps, dtype=np.float64), times).tolist()


@pytest.mark.parametrize(
    ("rate", "fps", "expected"),
    [
        (30, 30, [0, 1, 2, 3]),
        (30, 10, [0, 3, 6, 9]),
        (12.5, 4, [0, 3, 6, 9]),
        (1, 4, [0, 0, 0, 0]),
        (2, 4, [0, 0, 1, 1]),
    ],
)
def test_frames_are_those_on_screen_at_the_clip_rate(rate, fps, expected):
    stamps = [i / rate for i in range(60)]
    assert chosen(stamps, end=60 / rate, frames=4, fps=fps) == expected


def test_variable_frame_rate_follows_the_clock_not_the_frame_number():
    assert chosen([0, 0.1, 0.9, 1.0], end=1.1, frames=4, fps=4) == [0, 1, 1, 1]


def test_time_stamps_rounded_to_milliseconds_do_not_repeat_frames():
    stamps = [round(i / 30, 3) for i in range(30)]
    assert chosen(stamps, end=1.0, frames=30, fps=30) == list(range(30))


def test_a_short_video_holds_its_last_frame():
    assert chosen([0, 0.25], end=0.5, frames=6, fps=4, start=0.9) == [0, 1, 1, 1, 1, 1]


@given(stamps=STAMPS, frames=st.integers(1, 64), fps=st.floats(0.1, 120), start=st.floats(0, 0.999))
def test_any_video_gives_ordered_frames_inside_it(stamps, frames, fps, start):
    index = chosen(stamps, end=stamps[-1] + 0.04, frames=frames, fps=fps, start=start)
    assert len(index) == frames
    assert index == sorted(index)
    assert index[0] >= 0
    assert index[-1] < len(stamps)


def test_starts_reach_from_the_first_to_the_last_possible_moment():
    first = clip_times(5.0, 25.0, frames=8, fps=4.0, start=0.0)
    last = clip_times(5.0, 25.0, frames=8, fps=4.0, start=1 - 1e-9)
    assert first[0] == 5.0
    assert last[-1] + 1 / 4 == pytest.approx(25.0)
