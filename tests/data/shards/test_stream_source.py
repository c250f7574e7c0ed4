import functools
import io
import logging
import os
import subprocess
import tarfile
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.shards import stream_source
from worldmodel_train.data.shards.source import SampleError
from worldmodel_train.data.shards.stream_source import StreamShare, StreamSource, stream_samples
from worldmodel_train.types import Skip


def source(shards, consumer=0, consumers=1, *, first_step=0, buffer=1):
    share = StreamShare(consumer=consumer, consumers=consumers, seed=3, first_step=first_step)
    return StreamSource(shards, share, number=0, shuffle_buffer=buffer)


@given(shards=st.integers(1, 40), consumers=st.integers(1, 12), epoch=st.integers(0, 5))
def test_nodes_and_workers_together_read_each_shard_once_an_epoch(shards, consumers, epoch):
    names = [f"pipe:{i}" for i in range(shards)]
    read = [source(names, c, consumers).shards_of_epoch(epoch) for c in range(consumers)]
    assert sorted(sum(read, ())) == sorted(names)


def test_a_worker_meets_other_shards_in_another_epoch():
    names = [f"pipe:{i}" for i in range(32)]
    worker = source(names, 1, 8)
    assert set(worker.shards_of_epoch(0)) != set(worker.shards_of_epoch(1))


def test_a_pipe_gives_every_sample_once_an_epoch(make_shard):
    shards = [
        f"pipe:cat {make_shard(f'{s}.tar', {f'{s}{i}': b'v' for i in range(4)})}" for s in range(3)
    ]
    stream = source(shards, buffer=5)
    keys = Counter(stream.read(i, 0).key for i in range(240))
    assert len(keys) == 12
    assert min(keys.values()) >= 18


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_web_server_gives_its_samples_and_a_missing_shard_is_a_skip(make_shard):
    folder = make_shard("a.tar", {str(i): bytes([i]) * 5000 for i in range(4)}).parent
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        samples = list(stream_samples(f"{url}/a.tar"))
        (missing,) = stream_samples(f"{url}/b.tar")
        server.shutdown()
    assert [(s.key, s.video) for s in samples] == [(str(i), bytes([i]) * 5000) for i in range(4)]
    assert missing.reason == "unreadable_shard"
    assert missing.shard.endswith("/b.tar")


def test_a_stream_repeats_its_order_and_shuffles_it(make_shard):
    shard = f"pipe:cat {make_shard('a.tar', {f'{i:02d}': b'v' for i in range(50)})}"
    streams = [source([shard], buffer=buffer) for buffer in (1, 20, 20)]
    orders = [[stream.read(i, 0).key for i in range(50)] for stream in streams]
    assert orders[0] == sorted(orders[0])
    assert orders[1] == orders[2] != orders[0]


def test_a_resumed_stream_starts_with_another_order_and_says_so(caplog):
    names = [f"pipe:{i}" for i in range(32)]
    with caplog.at_level(logging.WARNING):
        resumed = source(names, first_step=500)
    assert resumed.shards_of_epoch(0) != source(names).shards_of_epoch(0)
    assert "step 500" in caplog.text


def test_bad_streams_become_skips(make_shard, tmp_path):
    cut = make_shard("cut.tar", {"1": b"v" * 3000, "2": b"v" * 3000})
    os.truncate(cut, 6000)
    half = make_shard("half.tar", {"1": b"v"}, without_json=["1"])
    empty = make_shard("empty.tar", {})
    (tmp_path / "zero.tar").touch()
    (tmp_path / "text.tar").write_bytes(b"<html>" * 500)

    def reasons(shard):
        return [i.reason if isinstance(i, Skip) else i.key for i in stream_samples(shard)]

    assert reasons(f"pipe:cat {cut}")[-1] == "truncated_shard"
    assert reasons(f"pipe:cat {half}") == ["missing_json"]
    assert reasons(f"pipe:cat {empty}") == ["empty_shard"]
    assert reasons(f"pipe:cat {tmp_path / 'zero.tar'}") == ["empty_shard"]
    assert reasons(f"pipe:cat {tmp_path / 'text.tar'}") == ["truncated_shard"]
    assert reasons("pipe:exit 3")[-1] in {"unreadable_shard", "empty_shard"}


def test_a_bad_item_is_an_error_and_the_stream_goes_on(make_shard):
    shard = make_shard("a.tar", {"1": b"v", "2": b"v"}, without_json=["1"])
    stream = source([f"pipe:cat {shard}"])
    with pytest.raises(SampleError, match="missing_json"):
        stream.read(0, 0)
    assert stream.read(1, 0).key == "2"


def items(path):
    return [i.reason if isinstance(i, Skip) else i.key for i in stream_samples(f"pipe:cat {path}")]


def test_a_pipe_that_does_not_end_is_a_skip(monkeypatch, make_shard):
    path = make_shard("a.tar", {"1": b"v"})

    @contextmanager
    def endless(_):
        with path.open("rb") as file:
            yield file
        raise subprocess.TimeoutExpired("cat", 1.0)

    monkeypatch.setattr(stream_source, "_open", endless)
    assert items(path) == ["1", "unreadable_shard"]


def test_files_that_no_sample_uses_are_never_held(monkeypatch, tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, size in {"1.mp4": 9, "1.json": 2, "1.npy": 5000, "2.npy": 5, "3.mp4": 9}.items():
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    monkeypatch.setattr(stream_source, "MEMBER_LIMIT", 1000)
    assert items(path) == ["1", "missing_video", "missing_json"]


def test_a_sample_larger_than_a_video_may_be_costs_only_itself(monkeypatch, make_shard):
    path = make_shard("a.tar", {"1": b"v" * 999, "2": b"v"})
    monkeypatch.setattr(stream_source, "MEMBER_LIMIT", 1000)
    assert items(path) == ["too_large", "2"]
