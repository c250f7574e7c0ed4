from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from rich.console import Console

from worldmodel_train.data.packing.chapters import PackReport
from worldmodel_train.data.packing.entries import read_entries
from worldmodel_train.data.packing.journal import PackArguments
from worldmodel_train.data.packing.pack import pack
from worldmodel_train.data.packing.progress import PackProgress


def write_video(path: Path, frames=12, size=(64, 48), rate=10, phase=0) -> Path:
    """A video whose frame i has brightness 16 + 4 * (i + phase); a white bar is on the left."""
    width, height = size
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"crf": "12", "g": "4", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for i in range(frames):
            picture = np.full((height, width, 3), 16 + 4 * (i + phase), np.uint8)
            picture[:, : width // 8] = 255
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    return write_video


def pack_quietly(source: Path, out: Path, workers=1, **arguments) -> PackReport:
    return pack(
        read_entries(str(source), None, []),
        out,
        PackArguments(**arguments),
        workers=workers,
        timeout_s=30.0,
        progress=PackProgress(Console(quiet=True)),
    )


@pytest.fixture(scope="session")
def run_pack() -> Callable[..., PackReport]:
    return pack_quietly


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    """Six good videos in two labelled folders."""
    folder = tmp_path_factory.mktemp("videos")
    for i in range(6):
        write_video(folder / ("run" if i % 2 else "walk") / f"clip {i}.mp4", phase=3 * i)
    return folder


@pytest.fixture(scope="session")
def packed(tmp_path_factory, videos) -> Path:
    """The six videos in three shards; do not change it, copy it."""
    out = tmp_path_factory.mktemp("packed") / "set"
    pack_quietly(videos, out, shard_size=20_000)
    return out
