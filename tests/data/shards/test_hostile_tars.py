import io
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.shards.hostile_tars import (
    END,
    HOSTILE,
    OLD_SPARSE,
    ONE,
    TWO,
    file,
    long_name,
    pax,
)
from worldmodel_train.batch import Skip
from worldmodel_train.data.shards import stream_samples, wanted_files
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.stream_bytes import StreamBytes
from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.wanted_files import VIDEOS


class Handler(SimpleHTTPRequestHandler):
    """Gives /length/N, /close/N and /chunked/N: the N-th tar with its length, without, in parts."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, way, number = self.path.split("/")
        content = list(HOSTILE.values())[int(number)][0]
        self.close_connection = True
        self.send_response(200)
        if way == "length":
            self.send_header("Content-Length", str(len(content)))
        if way == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        parts = [content[begin : begin + 9000] for begin in range(0, len(content), 9000)]
        if way == "chunked":
            parts = [b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b"")]
        with suppress(ConnectionError):  # who has read enough hangs up
            self.wfile.writelines(parts)


@pytest.fixture(scope="module")
def server(serving):
    with serving(Handler) as url:
        yield url


def read_locally(path):
    shards = ShardSet([str(path)])
    items = [Skip("empty_shard", shard, "") for shard in shards.empty]
    for number in range(len(shards)):
        try:
            items.append(shards.video(number))
        except SampleError as error:
            items.append(error.skip)
    return items


def streamed(shard):
    return list(stream_samples.stream_samples(shard, 20.0, Outages(0.0)))


def words(items):
    """Keys of samples; reasons and keys of what could not be used."""
    return [
        item.key
        if isinstance(item, EncodedSample)
        else f"{item.reason} {'' if item.reason == 'compressed_shard' else item.key}"
        for item in items
    ]


def videos(items):
    return [item.video for item in items if isinstance(item, EncodedSample)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_counts_the_same_read_locally_and_streamed(
    name, tmp_path, server, monkeypatch
):
    monkeypatch.setattr(wanted_files, "MEMBER_LIMIT", 1000)
    content, expected = HOSTILE[name]
    path, number = tmp_path / "a.tar", list(HOSTILE).index(name)
    path.write_bytes(content)
    local = read_locally(path)
    assert words(local) == expected
    ways = [
        f"pipe:cat {path}",
        *(f"{server}/{way}/{number}" for way in ("length", "close", "chunked")),
    ]
    for shard in ways:
        items = streamed(shard)
        assert words(items) == expected, shard
        assert videos(items) == videos(local), shard


class Memory(io.BytesIO):
    """A stream that gives a few bytes at a time, and may say how many there are."""

    def __init__(self, content, *, length):
        super().__init__(content)
        self.length = length

    @property
    def cut(self):
        return self.length is not None and self.tell() < self.length

    def read(self, size, /):
        return super().read(min(size, 300))


BASE = b"".join(
    (
        *(pax({b"path": b"a/1.mp4"}), file("x"), file("a/1.json"), OLD_SPARSE, TWO),
        *(long_name(b"3.mp4"), file("x"), END),
    )
)


@settings(max_examples=60, deadline=None)
@given(
    at=st.integers(0, len(BASE)),
    data=st.one_of(st.binary(max_size=20), st.sampled_from([END, ONE, OLD_SPARSE[:512]])),
    cut=st.integers(0, len(BASE)),
    says_length=st.booleans(),
)
def test_any_damage_counts_the_same_by_position_and_forwards(
    tmp_path_factory, at, data, cut, says_length
):
    content = (BASE[:at] + data + BASE[at + len(data) :])[: len(BASE) - cut // 4]
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    path.write_bytes(content)
    local = [item for item in words(read_locally(path)) if item != "empty_shard "]
    stream = Memory(content, length=len(content) if says_length else None)
    assert words(stream_samples._items("a", StreamBytes(stream), VIDEOS)) == local
