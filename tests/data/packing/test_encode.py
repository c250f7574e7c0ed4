from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.packing.encode import (
    PRESETS,
    EncodeConfig,
    Segment,
    Shape,
    constant_rate,
    reencode,
)
from worldmodel_train.data.packing.errors import BadVideo


def beat():
    pass


WHOLE = Segment()


def encoded(source, target, segment=WHOLE, **config):
    reencode(source, target, segment, EncodeConfig(**config), beat)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        facts = (stream.width, stream.height, stream.average_rate, stream.codec_context.name)
        return list(container.decode(stream)), facts


def brightness(frame):
    """Which frame of a `make_video` this is."""
    return round((np.median(frame.to_ndarray(format="rgb24")) - 16) / 4)


def test_the_shorter_side_and_the_keyframe_distance_are_as_asked(tmp_path, make_video):
    source = make_video(tmp_path / "a.mkv", frames=20, size=(96, 64))
    frames, facts = encoded(source, tmp_path / "b.mp4", short_side=32, gop=5)
    assert facts[:2] == (48, 32)
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 5, 10, 15]
    assert [brightness(frame) for frame in frames] == list(range(20))


def test_small_videos_are_not_enlarged(tmp_path, make_video):
    source = make_video(tmp_path / "a.mp4", size=(64, 48))
    _, facts = encoded(source, tmp_path / "b.mp4", short_side=320)
    assert facts[:2] == (64, 48)


@pytest.mark.parametrize("color_range", ["MPEG", "JPEG"])
def test_greys_stay_whatever_range_the_source_has(tmp_path, color_range):
    # phones film in the full range of bytes, which players know by a note in the stream
    picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 200, np.uint8), format="rgb24")
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.color_range = ColorRange[color_range].value
        frame = picture.reformat(format="yuv420p", dst_color_range=color_range)
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    (made,), _ = encoded(tmp_path / "a.mp4", tmp_path / "b.mp4", short_side=32)
    assert abs(made.to_ndarray(format="rgb24").mean() - 200) < 3


def test_hevc_has_fixed_keyframes_too(tmp_path, make_video):
    source = make_video(tmp_path / "a.mp4", frames=9)
    frames, facts = encoded(source, tmp_path / "b.mp4", codec="hevc", gop=4)
    assert facts[3] == "hevc"
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 4, 8]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_fast_preset_keeps_close_keyframes_and_drops_frames(tmp_path, make_video, codec):
    source = make_video(tmp_path / "a.mp4", frames=20)
    config = PRESETS["fast"].model_dump() | {"codec": codec, "fps": 5}
    frames, facts = encoded(source, tmp_path / "b.mp4", **config)
    assert facts[3] == codec
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 8]
    assert [brightness(frame) for frame in frames] == list(range(0, 20, 2))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_segment_holds_exactly_its_frames(tmp_path, make_video, suffix):
    source = make_video(tmp_path / f"a{suffix}", frames=40)  # 10 frames/s
    frames, _ = encoded(source, tmp_path / "b.mp4", Segment(start=2.3, end=3.1))
    assert [brightness(frame) for frame in frames] == [23, 24, 25, 26, 27, 28, 29, 30]


def test_a_lower_rate_drops_frames_evenly_and_a_higher_one_adds_none(tmp_path, make_video):
    source = make_video(tmp_path / "a.mp4", frames=20)
    half, facts = encoded(source, tmp_path / "b.mp4", fps=5)
    assert [brightness(frame) for frame in half] == list(range(0, 20, 2))
    assert facts[2] == 5
    same, facts = encoded(source, tmp_path / "c.mp4", fps=60)
    assert (len(same), facts[2]) == (20, 10)


def test_the_same_video_gives_the_same_bytes(tmp_path, make_video):
    source = make_video(tmp_path / "a.mp4")
    for name in ("b.mp4", "c.mp4"):
        encoded(source, tmp_path / name, short_side=32)
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def test_a_segment_after_the_end_is_refused(tmp_path, make_video):
    with pytest.raises(BadVideo, match=r"no frame after 9 s; does the video end before\?"):
        encoded(make_video(tmp_path / "a.mp4"), tmp_path / "b.mp4", Segment(start=9.0))


def test_pixels_that_are_shown_wide_become_wide():
    frame = av.VideoFrame(320, 180, "yuv420p")
    assert Shape(None, Fraction(2)).of(frame) == (640, 180)
    assert Shape(90, Fraction(1)).of(frame) == (160, 90)


@given(st.integers(1, 50), st.sampled_from([24, 25, 30, Fraction(30000, 1001)]))
def test_evenly_spaced_frames_stay_one_to_one_even_with_rounded_stamps(count, rate):
    timed = [(round(float(i / rate), 3), i) for i in range(count)]
    assert list(constant_rate(timed, Fraction(rate), float(1 / rate))) == list(range(count))


def test_a_frame_stays_on_screen_until_the_next_one():
    timed = [(5.0, "a"), (5.1, "b"), (5.5, "c")]
    assert "".join(constant_rate(timed, Fraction(10), 0.1)) == "abbbbc"


def test_a_leap_in_time_is_refused_instead_of_filled():
    with pytest.raises(BadVideo, match="between two frames"):
        list(constant_rate([(0.0, 0), (1e9, 1)], Fraction(30), 1 / 30))
