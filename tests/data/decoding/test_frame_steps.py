"""The frames of V-JEPA 2's published evaluation, worked out by hand from its rule."""

import numpy as np
import pytest

from worldmodel_train.data.decoding.auto_decoder import make_decoder
from worldmodel_train.data.decoding.decode import ClipRequest, DecodeError
from worldmodel_train.data.decoding.frame_steps import FrameSteps


def frames(num_frames, segment=0, segments=2, start=0.5, step=4, pictures=16):
    steps = FrameSteps(step=step, segment=segment, segments=segments)
    return steps.frames_of(num_frames, frames=pictures, step=step, start=start).tolist()


# 64 frames in 15 gaps of 4.27; the last would be the 65th
WINDOW = np.array([0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63])


def test_a_window_lies_in_each_segment_where_it_is_asked_for():
    # segments of 150 frames leave 86 places: 43 is the middle
    assert frames(300) == (WINDOW + 43).tolist()
    assert frames(300, segment=1) == (WINDOW + 193).tolist()
    assert frames(300, start=0.0) == WINDOW.tolist()
    assert frames(300, start=0.999) == (WINDOW + 85).tolist()


def test_segments_overlap_where_they_are_shorter_than_a_window():
    # 15 of frame 0 to 63 in gaps of 4.5, then the last but one
    shown = np.array([0, 4, 9, 13, 18, 22, 27, 31, 36, 40, 45, 49, 54, 58, 62, 62])
    assert frames(100) == shown.tolist()
    assert frames(100, segment=1) == (shown + 36).tolist()  # 100 - 64
    assert frames(100, segment=2, segments=3) == (shown + 2 * 18).tolist()


def test_a_video_shorter_than_a_window_shows_its_last_frame_but_one_to_the_end():
    for segment in (0, 1):  # 4 of frame 0 to 19 in gaps of 6.33
        assert frames(20, segment=segment) == [0, 6, 12, *[18] * 13]
    assert frames(1) == [0] * 16


@pytest.mark.parametrize(
    ("rate", "fps", "step"),
    [(30, 4, 7), (30000 / 1001, 4, 7), (25, 4, 6), (60, 4, 15), (30, 8, 3), (4, 4, 1), (3, 4, 0)],
)
def test_without_a_step_the_rate_gives_it(rate, fps, step):
    assert FrameSteps(step=None).step_of(float(rate), float(fps)) == step
    assert FrameSteps(step=2).step_of(float(rate), float(fps)) == 2


def request(make_request, step, pictures, **changes):
    found = make_request(pictures, start=0.5, **changes)
    return ClipRequest(**{**vars(found), "steps": FrameSteps(step=step)})


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_decoders_show_the_frames_that_are_counted_off(make_video, make_request, levels, decoder):
    if decoder == "decord":
        pytest.importorskip("decord")
    video = make_video(16, stamps=[i * i / 100 for i in range(16)])  # whenever they are shown
    shown = make_decoder(decoder).decode(video, request(make_request, 3, 4))
    assert levels(shown.clip) == [2, 6, 10, 13]  # 12 frames in 3 gaps of 4, 2 before, 2 behind
    np.testing.assert_allclose(shown.times, [0.04, 0.36, 1.0, 1.69], atol=1e-3)


def test_a_video_of_too_few_frames_a_second_is_a_bad_sample(make_video, make_request):
    with pytest.raises(DecodeError, match="frame_rate_too_low: 10 frames a second, not 12"):
        make_decoder("pyav").decode(make_video(8), request(make_request, None, 4, fps=12.0))
