"""What the published evaluation shows of a video, against bilinear interpolation of torch."""

import io

import av
import numpy as np
import pytest
import torch

from worldmodel_train.data.config import AugmentConfig, DataConfig
from worldmodel_train.data.source_config import ClipConfig, SourceConfig

pytestmark = pytest.mark.usefixtures("decoding_here")

SIDE = 56  # 64 is 256 / 224 of it


def scaled(pictures, height, width):
    """The frames as floats, `height` x `width`, from four pixels each."""
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    size = (height, width)
    small = torch.nn.functional.interpolate(frames, size=size, mode="bilinear", antialias=False)
    return small.permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def films():
    """Fine patterns, wide, high and square, as 24 frames of full size, and as videos."""
    rng = np.random.default_rng(0)

    def film(width, height):
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as container:
            stream = container.add_stream(
                "libx264", rate=30, options={"crf": "10", "preset": "ultrafast"}
            )
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for _ in range(24):
                coarse = rng.integers(0, 255, (height // 2, width // 2, 3), dtype=np.uint8)
                picture = coarse.repeat(2, axis=0).repeat(2, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        with av.open(io.BytesIO(file.getvalue())) as container:
            pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        return file.getvalue(), np.stack(pictures)

    return {name: film(*size) for name, size in SIZES.items()}


SIZES = {"wide": (322, 180), "high": (180, 322), "square": (200, 200)}


def data_of(path, **changes):
    source = SourceConfig(
        shards=str(path), clip=ClipConfig(frames=4, frame_step=3), protocol="vjepa2"
    )
    return source, DataConfig(sources=(source,), augment=AugmentConfig(size=SIDE), **changes)


@pytest.mark.parametrize("decoder", ["auto", "decord"])
def test_one_view_is_the_centre_of_the_scaled_picture(films, make_shard, decoder):
    if decoder == "decord":
        pytest.importorskip("decord")
    path = make_shard("a.tar", {name: video for name, (video, _) in films.items()})
    source, data = data_of(path, decoder={"name": decoder})
    places = {"wide": (64, 114, 4, 29), "high": (114, 64, 29, 4), "square": (64, 64, 4, 4)}
    shown = {video.key: video.clips for video in data.each_video(source)}
    assert shown.keys() == places.keys()
    for name, (height, width, top, left) in places.items():
        # 12 frames in 3 gaps of 4, 6 before and 6 behind
        small = scaled(films[name][1][[6, 10, 14, 17]], height, width)
        meant = small[:, top : top + SIDE, left : left + SIDE]
        assert (shown[name][0].float() - meant).abs().max() <= 1


def test_three_views_go_along_the_longer_side_of_the_whole_picture(films, make_shard):
    path = make_shard("a.tar", {name: video for name, (video, _) in films.items()})
    source, data = data_of(path)
    shown = {video.key: video.clips for video in data.each_video(source, segments=2, crops=3)}
    # 322 / 180 x 56 is 100.2; 44 more than a clip, so steps of 22
    for name, height, width, down, right in (
        ("wide", 56, 100, 0, 22),
        ("high", 100, 56, 22, 0),
        ("square", 56, 56, 0, 0),
    ):
        assert len(shown[name]) == 6
        for number, clip in enumerate(shown[name]):
            segment, view = divmod(number, 3)
            # segments of 12 frames are no longer than a window of 12: 3 of frame 0 to 11
            small = scaled(films[name][1][np.array([0, 5, 10, 10]) + 12 * segment], height, width)
            top, left = view * down, view * right
            meant = small[:, top : top + SIDE, left : left + SIDE]
            assert (clip.float() - meant).abs().max() <= 1


def test_our_own_pixels_are_others(films, make_shard):
    path = make_shard("a.tar", {"wide": films["wide"][0]})
    source, data = data_of(path)
    ours = SourceConfig(shards=str(path), clip=ClipConfig(frames=4, fps=10.0))
    published, own = (next(data.each_video(s)).clips.float() for s in (source, ours))
    assert published.std() > 1.3 * own.std()  # fine patterns are averaged away
