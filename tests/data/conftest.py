import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from worldmodel_train.data.config import AugmentConfig, DataConfig, DecoderConfig, LoaderConfig
from worldmodel_train.data.decoding.auto_decoder import make_decoder
from worldmodel_train.data.decoding.crop import CENTER_CROP, Crop
from worldmodel_train.data.decoding.decode import ClipRequest, Decoded
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.picture_size import frame_size
from worldmodel_train.data.source_config import ClipConfig, SourceConfig

VIDEOS = Path(__file__).parent / "video"


@pytest.fixture(scope="session")
def videos() -> Path:
    """The folder of difficult videos that travel with the tests."""
    return VIDEOS


@pytest.fixture(scope="session")
def make_video() -> Callable[..., bytes]:
    """Writes an mp4 whose frame i is a flat picture of grey level 20 + 10 i (modulo 200).

    With `picture` every frame is that one, and as large.
    """

    def make(  # noqa: PLR0913 - what a video may be like
        frames: int = 12,
        *,
        width: int = 64,
        height: int = 48,
        stamps: Sequence[float] | None = None,
        gop: int = 4,
        levels: Sequence[int] | None = None,
        picture: np.ndarray | None = None,
    ) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=10)
            high, wide = (height, width) if picture is None else picture.shape[:2]
            stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
            stream.options = {"g": str(gop), "bf": "2", "crf": "10", "preset": "veryfast"}
            stream.codec_context.time_base = Fraction(1, 1000)
            for i in range(frames):
                level = levels[i] if levels else 20 + 10 * i % 200
                flat = np.full((height, width, 3), level, dtype=np.uint8)
                shown = flat if picture is None else picture
                frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
                frame.time_base = Fraction(1, 1000)
                frame.pts = round(1000 * (stamps[i] if stamps else i / 10))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def levels() -> Callable[[np.ndarray], list[int]]:
    """Which frame of `make_video` each picture of a clip shows."""

    def read(clip: np.ndarray) -> list[int]:
        return [round((float(picture.mean()) - 20) / 10) for picture in clip]

    return read


@pytest.fixture
def make_shard(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tar of samples {key: video}; a value of None leaves out the json."""

    def make(name: str, samples: dict[str, bytes], *, without_json: Sequence[str] = ()) -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w") as tar:
            for key, video in samples.items():
                files = {f"{key}.mp4": video}
                if key not in without_json:
                    files[f"{key}.json"] = json.dumps({"label": f"label of {key}"}).encode()
                for file_name, content in files.items():
                    member = tarfile.TarInfo(file_name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        return path

    return make


@pytest.fixture
def decoding_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding processes decode in this one, which saves their start."""

    def decode_into(process: DecodeProcess, *arguments: Any) -> Decoded:
        return make_decoder(process._config.name).decode_into(*arguments)

    monkeypatch.setattr(DecodeProcess, "decode_into", decode_into)


@pytest.fixture(scope="session")
def make_request() -> Callable[..., ClipRequest]:
    def make(
        frames: int = 4,
        fps: float = 10.0,
        *,
        start: float = 0.0,
        size: int | tuple[int, int] = 32,
        crop: Crop = CENTER_CROP,
        max_pixels: int = 1 << 24,
    ) -> ClipRequest:
        return ClipRequest(
            frames=frames,
            fps=fps,
            start=start,
            size=frame_size(size),
            crop=crop,
            max_pixels=max_pixels,
        )

    return make


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager[str]]:
    """The address of a web server for a folder, or with a handler of its own."""

    @contextmanager
    def serve(what: Path | type[SimpleHTTPRequestHandler]) -> Iterator[str]:
        base = SimpleHTTPRequestHandler if isinstance(what, Path) else what
        quiet = type("Quiet", (base,), {"log_message": lambda *_: None})
        handler = partial(quiet, directory=str(what)) if isinstance(what, Path) else quiet
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            server.daemon_threads, server.block_on_close = True, False
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    return serve


@pytest.fixture
def sources(make_video, make_shard):
    def shard(name, levels, frames):
        videos = {f"{name}{v}": make_video(8, levels=[v] * 8) for v in levels}
        path = make_shard(f"{name}.tar", videos)
        return SourceConfig(
            name=name, shards=str(path), clip=ClipConfig(frames=frames, fps=10.0), weight=1.0
        )

    return shard("short", range(20, 120, 20), 2), shard("long", range(130, 250, 20), 4)


@pytest.fixture
def make_data(sources):
    def make(workers=0, sources=sources, size=16, augment=None, **loader):
        return DataConfig(
            sources=sources,
            augment=AugmentConfig.model_validate({"size": size} | (augment or {})),
            decoder=DecoderConfig(name="auto"),
            loader=LoaderConfig(workers=workers, prefetch=1, **loader),
        )

    return make
