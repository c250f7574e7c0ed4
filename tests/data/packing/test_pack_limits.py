"""A video that is decoded on and on, a frame at a time, does not occupy a worker for ever."""

import json

import av
import numpy as np

from worldmodel_train.data.packing import chapters
from worldmodel_train.data.packing.encode import EncodeConfig


def write_long_png_movie(path, frames):
    """Each frame is quickly decoded, and there are many."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        (packet,) = stream.encode(picture)
        for i in range(frames):
            packet.pts = packet.dts = i
            output.mux(packet)


def test_steady_progress_without_end_is_rejected_by_name(tmp_path, monkeypatch, run_pack):
    monkeypatch.setattr(chapters, "LONGEST", 0.5 / 30)  # half a second, as run_pack waits for 30
    (tmp_path / "videos").mkdir()
    write_long_png_movie(tmp_path / "videos/long.mov", frames=30_000)
    report = run_pack(tmp_path / "videos", tmp_path / "out", encode=EncodeConfig())
    assert report.rejects == {"slow": 1}
    reject = json.loads((tmp_path / "out/rejects.jsonl").read_text())
    assert reject["path"].endswith("long.mov")
    assert "not done after 0.5 s; cut it into segments, or raise --timeout" in reject["detail"]
