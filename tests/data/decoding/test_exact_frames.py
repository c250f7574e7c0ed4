"""What is left out while decoding changes no bit of what is shown."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from worldmodel_train.data.decoding import pyav_decoder
from worldmodel_train.data.decoding.container import read_track
from worldmodel_train.data.decoding.pyav_decoder import PyavDecoder

FRAMES, WIDTH, HEIGHT = 48, 64, 48

X264 = {
    "gop12": {"g": "12"},
    "gop250": {"g": "250"},
    "no-b-frames": {"g": "12", "bf": "0"},
    "b-pyramid": {"g": "24", "x264-params": "bframes=7:b-adapt=0:b-pyramid=normal"},
    "strict-pyramid": {"g": "24", "x264-params": "bframes=7:b-adapt=0:b-pyramid=strict"},
    "no-pyramid": {"g": "24", "x264-params": "bframes=3:b-adapt=0:b-pyramid=none"},
    "open-gop": {"g": "8", "x264-params": "bframes=3:b-adapt=0:open-gop=1:scenecut=0"},
    "intra-refresh": {"g": "12", "x264-params": "intra-refresh=1:bframes=0"},
    "interlaced": {"g": "12", "flags": "+ildct+ilme"},
    "many-references": {"g": "250", "x264-params": "ref=8:weightp=2:bframes=3"},
}
X265 = {
    "hevc-gop12": {"x265-params": "log-level=none:keyint=12:min-keyint=12:bframes=3"},
    "hevc-open-gop": {"x265-params": "log-level=none:keyint=12:bframes=4:b-adapt=0:open-gop=1"},
    "hevc-layers": {"x265-params": "log-level=none:keyint=24:bframes=3:temporal-layers=3"},
}
OTHERS = {
    "mpeg4": ("mpeg4", "mp4", {"g": "12", "bf": "2"}),
    "mpeg4-avi": ("mpeg4", "avi", {"g": "12", "bf": "2"}),
    "mpeg2": ("mpeg2video", "mpegts", {"g": "12", "bf": "2"}),
    "h264-ts": ("libx264", "mpegts", {"g": "12"}),
    "h264-mkv": ("libx264", "matroska", {"g": "12", "x264-params": "open-gop=1:bframes=3"}),
    "vp8": ("libvpx", "webm", {"g": "24", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp9": ("libvpx-vp9", "webm", {"g": "24", "lag-in-frames": "16", "cpu-used": "8"}),
}
ALL = (
    {name: ("libx264", "mp4", options) for name, options in X264.items()}
    | {name: ("libx265", "mp4", options) for name, options in X265.items()}
    | OTHERS
)


def moving_picture(i, rng):
    """A bright square that wanders over noise."""
    picture = rng.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    left, top = 5 + i * 3 % 40, 4 + i * 2 % 30
    picture[top : top + 12, left : left + 14] = (200, 5 * i % 255, 90)
    return picture


@pytest.fixture(scope="module")
def encoded():
    """Encodes the moving picture once for each way of encoding."""
    made = {}

    def encode(name):
        if name not in made:
            made[name] = make(*ALL[name])
        return made[name]

    return encode


def make(codec, container, options):
    file, rng = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(moving_picture(i, rng), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def every_frame(video):
    """All pictures, decoded from front to back by libavcodec's defaults."""
    with av.open(io.BytesIO(video)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    side = min(WIDTH, HEIGHT)
    left = (WIDTH - side) // 2
    return np.stack(frames)[:, :, left : left + side]


@pytest.mark.parametrize("name", ALL)
def test_sparse_frames_are_those_of_a_full_decode(encoded, make_request, name):
    video = encoded(name)
    pictures, track = every_frame(video), read_track(video, max_pixels=1 << 20)
    assert len(pictures) == len(track.ticks)
    for frames, fps in ((6, 4.0), (3, 2.0), (8, 11.0), (1, 4.0)):
        for start in (0.0, 0.13, 0.4, 0.62, 0.97):
            request = make_request(frames, fps, start=start, size=HEIGHT)
            clip = PyavDecoder().decode(video, request).clip
            np.testing.assert_array_equal(clip, pictures[track.frames_of(request)])


def test_a_container_that_calls_every_frame_a_keyframe_is_not_believed(encoded, make_request):
    video = encoded("mpeg4")
    assert video.count(b"stss") == 1  # the table of keyframes; without it all samples are
    pictures, video = every_frame(video), video.replace(b"stss", b"free")
    track = read_track(video, max_pixels=1 << 20)
    assert len(track.key_places) == FRAMES
    for start in (0.13, 0.4, 0.62, 0.97):
        request = make_request(6, 4.0, start=start, size=HEIGHT)
        clip = PyavDecoder().decode(video, request).clip
        np.testing.assert_array_equal(clip, pictures[track.frames_of(request)])


@pytest.mark.parametrize("name", [name for name in ALL if name != "intra-refresh"])
def test_no_healthy_video_has_to_be_decoded_whole(encoded, make_request, monkeypatch, name):
    monkeypatch.delattr(pyav_decoder, "_all_frames")
    for start in (0.0, 0.4, 0.97):
        clip = PyavDecoder().decode(encoded(name), make_request(6, 4.0, start=start)).clip
        assert len(clip) == 6


def test_frames_that_nobody_refers_to_are_not_decoded(encoded, make_request, monkeypatch):
    video, decoded = encoded("no-pyramid"), []
    honest = pyav_decoder._needed_frames

    def counting(*arguments):
        for frame in honest(*arguments):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(pyav_decoder, "_needed_frames", counting)
    PyavDecoder().decode(video, make_request(4, 2.0))
    assert len(decoded) < 0.4 * FRAMES


def test_between_temporal_layers_of_hevc_nothing_is_left_out(encoded):
    assert read_track(encoded("hevc-gop12"), max_pixels=1 << 20).skippable
    assert not read_track(encoded("hevc-layers"), max_pixels=1 << 20).skippable
