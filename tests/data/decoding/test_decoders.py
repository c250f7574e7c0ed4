"""decord and PyAV behind one interface: the right frames, or a reason."""

import gc
import io
import struct

import av
import cv2
import numpy as np
import pytest

from worldmodel_train.data.decoding.auto_decoder import make_decoder
from worldmodel_train.data.decoding.crop import CENTER_CROP, Crop, MovingCrop
from worldmodel_train.data.decoding.decode import DecodeError

decord_decoder = pytest.importorskip("worldmodel_train.data.decoding.decord_decoder")

HEALTHY = [
    "gen_vfr_h264.mp4",
    "gen_interlaced.mp4",
    "gen_rot90_meta.mp4",
    "gen_vp9_322x182.webm",
    "gen_hevc.mp4",
    "gen_gray.mp4",
    "gen_1fps.mp4",
    "gen_bframes_opengop_g250.mp4",
    "gen_single_frame.mp4",
]
ALL = ("auto", "decord", "pyav")


@pytest.fixture(scope="module", autouse=True)
def leave_no_reader_behind():
    """decord's threads do not live in a fork, so a reader finalised there crashes or hangs it.

    Programs use decord in a process of its own; only these tests have it in the process that later
    forks loader workers.
    """
    yield
    gc.collect()


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("start", [0.0, 0.6])
def test_both_decoders_give_the_same_bits(videos, make_request, name, start):
    video = (videos / name).read_bytes()
    request = make_request(frames=8, fps=4.0, start=start, size=112, crop=CENTER_CROP)
    ours, theirs = (make_decoder(kind).decode(video, request) for kind in ("decord", "pyav"))
    assert ours.decoder == "decord"
    np.testing.assert_array_equal(ours.clip, theirs.clip)


@pytest.mark.parametrize("decoder", ALL)
@pytest.mark.parametrize("start", [0.0, 0.3, 0.99])
def test_the_frames_are_those_the_time_stamps_name(
    make_video, make_request, levels, decoder, start
):
    video = make_video(16)
    shown = levels(make_decoder(decoder).decode(video, make_request(8, 10.0, start=start)).clip)
    first = int(start * 8 + 0.01)
    assert shown == list(range(first, first + 8))


@pytest.mark.parametrize("decoder", ALL)
def test_variable_frame_rate_is_followed(make_video, make_request, levels, decoder):
    video = make_video(4, stamps=[0.0, 0.1, 0.9, 1.0])
    shown = levels(make_decoder(decoder).decode(video, make_request(4, 4.0)).clip)
    assert shown == [0, 1, 1, 1]


@pytest.mark.parametrize("decoder", ALL)
def test_a_clip_longer_than_the_video_holds_the_last_frame(
    make_video, make_request, levels, decoder
):
    shown = levels(make_decoder(decoder).decode(make_video(3), make_request(6, 10.0)).clip)
    assert shown == [0, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("decoder", ALL)
def test_real_repeats_are_not_taken_for_lost_frames(make_video, make_request, levels, decoder):
    video = make_video(6, levels=[20, 30, 30, 30, 40, 50])
    decoded = make_decoder(decoder).decode(video, make_request(6, 10.0))
    assert levels(decoded.clip) == [0, 1, 1, 1, 2, 3]


def turned_gradient():
    """A quarter turn clockwise is asked for; red grows to the stored right, green downwards."""
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    picture[..., 0], picture[..., 1] = np.meshgrid(*2 * [np.arange(20, 212, 3)])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    video = bytearray(file.getvalue())
    # ISO 14496-12, tkhd: x' = a x + c y + tx, y' = b x + d y + ty, written a b 0 c d 0 tx ty 1
    matrix = video.index(b"tkhd") + 44
    video[matrix : matrix + 36] = struct.pack(
        ">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30
    )
    return bytes(video)


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_pictures_are_upright(make_request, decoder):
    clip = make_decoder(decoder).decode(turned_gradient(), make_request(1, size=64)).clip
    down, right = (
        np.diff(clip[0, ::21, ::21].astype(int), axis=0),
        np.diff(clip[0, ::21, ::21].astype(int), axis=1),
    )
    assert (down[..., 0] > 40).all()  # the stored left edge is on top
    assert (right[..., 1] < -40).all()  # the stored top edge is on the right
    assert np.abs(down[..., 1]).max() < 15
    assert np.abs(right[..., 0]).max() < 15


@pytest.mark.parametrize("decoder", ALL)
def test_a_flipped_clip_is_the_mirror_image(videos, make_request, decoder):
    video = (videos / "gen_gray.mp4").read_bytes()
    plain, flipped = (
        make_decoder(decoder).decode(video, make_request(2, crop=Crop(flip=flip))).clip
        for flip in (False, True)
    )
    np.testing.assert_array_equal(flipped, plain[:, :, ::-1])


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_scaling_in_the_decoder_shows_the_same_picture(videos, make_request, decoder):
    video = (videos / "gen_gray.mp4").read_bytes()
    scaled = make_decoder(decoder).decode(video, make_request(2, size=64)).clip
    full = make_decoder(decoder).decode(video, make_request(2, size=180)).clip
    for small, large in zip(scaled, full, strict=True):
        shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(small.astype(int) - shrunk).mean() < 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("h265_video.mp4", "decord_open_gop"),
        ("gen_editlist_nonkey_start.mp4", "decord_hidden_packets"),
        ("discard_first_keyframe.mp4", "decord_hidden_packets"),
        ("gen_resolution_change.ts", "decord_unsafe_container"),
        ("gen_odd_317x179_yuv444.mp4", "decord_bad_seek"),
        ("gen_av1.mp4", "decord_failed"),
        ("gen_16x16.mp4", "decord_failed"),
    ],
)
def test_decord_refuses_what_it_gets_wrong_and_auto_reads_it(videos, make_request, name, reason):
    video = (videos / name).read_bytes()
    request = make_request(8, 4.0, start=0.4, size=48)
    with pytest.raises(DecodeError) as refused:
        make_decoder("decord").decode(video, request)
    assert refused.value.reason == reason
    assert make_decoder("auto").decode(video, request).clip.shape == request.shape


@pytest.mark.parametrize(
    "name",
    [
        "bad_bitflips_in_mdat.mp4",
        "bad_truncated_faststart_60pct.mp4",
        "bad_zeroed_first_half.mp4",
        "small_gif.gif",
    ],
)
@pytest.mark.parametrize("decoder", ALL)
def test_damaged_videos_are_refused_not_shown(videos, make_request, name, decoder):
    with pytest.raises(DecodeError):
        make_decoder(decoder).decode((videos / name).read_bytes(), make_request(8, 4.0))


@pytest.mark.parametrize("video", [b"", b"<html>404 Not Found</html>", b"\0" * 4096])
@pytest.mark.parametrize("decoder", ALL)
def test_what_is_no_video_is_refused(make_request, decoder, video):
    with pytest.raises(DecodeError):
        make_decoder(decoder).decode(video, make_request())


def test_a_playlist_cannot_open_other_files(tmp_path, make_video, make_request):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(make_video(4))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n"
    with pytest.raises(DecodeError, match="corrupt_video"):
        make_decoder("auto").decode(playlist.encode(), make_request())


def test_a_picture_larger_than_allowed_is_not_decoded(make_video, make_request):
    with pytest.raises(DecodeError, match="too_large: 64x48"):
        make_decoder("auto").decode(make_video(2), make_request(max_pixels=1000))


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_clips_decoded_together_are_those_decoded_alone(videos, make_request, decoder):
    video = (videos / "gen_vfr_h264.mp4").read_bytes()
    crops = (CENTER_CROP, Crop(flip=True), Crop(shapes=((0.4, 1.0),), x=0.1, y=0.9))
    requests = [
        make_request(4, 4.0, start=start, size=size, crop=crop)
        for start, size, crop in zip((0.0, 0.1, 0.9), (64, (48, 112), 64), crops, strict=True)
    ]
    clips = [np.empty(request.shape, dtype=np.uint8) for request in requests]
    make_decoder(decoder).decode_into(video, requests, clips)
    for request, clip in zip(requests, clips, strict=True):
        alone = make_decoder(decoder).decode(video, request)
        np.testing.assert_array_equal(clip, alone.clip)


@pytest.mark.parametrize("moves", [False, True])
def test_a_repeated_picture_that_pyav_tells_apart_is_refused(
    make_video, make_request, monkeypatch, moves
):
    crop = MovingCrop(first=CENTER_CROP, last=Crop(shapes=((0.5, 1.0),))) if moves else CENTER_CROP
    video, request = make_video(8), make_request(4, 10.0, crop=crop)
    honest = decord_decoder.decord.VideoReader.get_batch
    monkeypatch.setattr(
        decord_decoder.decord.VideoReader,
        "get_batch",
        lambda reader, frames: honest(reader, [1 if frame == 2 else frame for frame in frames]),
    )
    with pytest.raises(DecodeError, match="decord_repeats_frames"):
        decord_decoder.DecordDecoder().decode(video, request)


def test_a_frame_count_unlike_the_containers_is_refused(make_video, make_request, monkeypatch):
    monkeypatch.setattr(decord_decoder.decord.VideoReader, "__len__", lambda _: 300)
    with pytest.raises(DecodeError, match="decord_frame_count"):
        make_decoder("decord").decode(make_video(8), make_request())


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_an_image_is_a_clip_of_one_picture(make_request, extension):
    image = np.full((60, 80, 3), (10, 120, 240), dtype=np.uint8)
    encoded = cv2.imencode(extension, image)[1].tobytes()
    clip = make_decoder("auto").decode(encoded, make_request(1, start=0.7, size=60)).clip
    assert clip.shape == (1, 60, 60, 3)
    assert np.abs(clip.astype(int) - image[0, 0, ::-1]).max() < 6


def test_a_damaged_video_is_refused_although_decord_often_only_logs_it(videos, make_request):
    damaged = (videos / "bad_bitflips_in_mdat.mp4").read_bytes()
    # on a busy machine decord's own thread now and then fails before the picture is asked for
    with pytest.raises(DecodeError, match=r"decord_damaged_frames: .*h264|decord_failed: "):
        make_decoder("decord").decode(damaged, make_request(8, 4.0))


@pytest.mark.parametrize("name", ["gen_vfr_h264.mp4", "gen_1fps.mp4"])
def test_both_decoders_know_when_each_picture_is_shown(videos, make_request, name):
    video, request = (videos / name).read_bytes(), make_request(6, 7.0, start=0.3)
    ours, theirs = (make_decoder(kind).decode(video, request) for kind in ("decord", "pyav"))
    np.testing.assert_array_equal(ours.times, theirs.times)
    with av.open(io.BytesIO(video)) as container:
        stamps = sorted(float(frame.time) for frame in container.decode(video=0))
    shown = {round(stamp - stamps[0], 6) for stamp in stamps}
    assert {round(float(time), 6) for time in ours.times} <= shown
    assert (np.diff(ours.times) >= 0).all()


GREYS = (16, 17, 50, 126, 128, 180, 234, 235)  # of limited range: 16 is black, 235 white


@pytest.fixture(scope="module")
def greys():
    """A video of flat pictures, one of each level."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for level in GREYS:
            frame = av.VideoFrame(320, 240, "yuv420p")
            for plane, value in zip(frame.planes, (level, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
@pytest.mark.parametrize("size", [(240, 320), (180, 240), (120, 160), (96, 128), (75, 100), 64])
def test_grey_stays_as_bright_as_it_is_at_every_scale(greys, make_request, decoder, size):
    clip = make_decoder(decoder).decode(greys, make_request(8, 10.0, size=size)).clip
    meant = (np.array(GREYS) - 16) * 255 / 219  # BT.601
    assert np.abs(clip - meant[:, None, None, None]).max() <= 1


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_colour_stays_what_it_is_at_every_scale(make_video, make_request, decoder):
    picture = np.full((240, 320, 3), (200, 60, 30), dtype=np.uint8)
    video = make_video(1, picture=picture)
    for size in ((240, 320), (120, 160), 64):
        clip = make_decoder(decoder).decode(video, make_request(1, size=size)).clip
        assert np.abs(clip.astype(int) - picture[0, 0]).max() <= 3
