import io
import tarfile

import av
import numpy as np
import pytest


def encoded(wave, *, rate=8000, container="wav", codec="pcm_s16le", layout="mono"):
    """A recording of a wave (channels, samples) from -1 to 1."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        packed = np.atleast_2d(wave).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            (packed * 32767).round().astype(np.int16), format="s16", layout=layout
        )
        frame.sample_rate = rate
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="session")
def make_recording():
    return encoded


def tone(hertz, samples, rate=8000, loud=0.5):
    return loud * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)


@pytest.fixture(scope="session")
def make_tone():
    return tone


def write_shard(path, files):
    """A tar of (name, bytes), in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="session")
def make_shard():
    return write_shard


@pytest.fixture(scope="session")
def shard(tmp_path_factory):
    """Twelve recordings of 0.1 to 0.32 s, all loud at a level of their own, one of them broken."""
    files = []
    for number in range(12):
        level = (number + 1) / 16
        content = encoded(np.full(800 + 160 * number, level), container="flac", codec="flac")
        files += [(f"{number}.flac", b"fLaC" if number == 5 else content)]
        files += [(f"{number}.json", b'{"label": "%d"}' % (number % 3))]
    return write_shard(tmp_path_factory.mktemp("audio") / "a.tar", files)
