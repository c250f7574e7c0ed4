from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from worldmodel_train.data.packing.episode_arguments import EpisodeArguments


def write_video(path: Path, levels: Sequence[int], *, rate=15, size=(64, 48)) -> Path:
    """A video whose frame i is grey of level i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"crf": "4", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.thread_count = 1
        for level in levels:
            picture = np.full((size[1], size[0], 3), level, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


@pytest.fixture
def film():
    return write_video


@pytest.fixture
def wanted():
    """What is wanted of a format."""
    return lambda name, **given: EpisodeArguments.model_validate({"format": name, **given})
