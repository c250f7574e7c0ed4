import io
import os
import sys
import tarfile
import threading
import time
import types
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import fsspec
import pytest

from worldmodel_train.batch import Skip
from worldmodel_train.data.shards import wanted_files
from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.stream_samples import stream_samples


def samples_of(shard, timeout_s=30.0):
    return list(stream_samples(shard, timeout_s, Outages(0.0)))


def items(shard, timeout_s=30.0):
    return [i.reason if isinstance(i, Skip) else i.key for i in samples_of(shard, timeout_s)]


def test_a_web_server_gives_its_samples_and_a_missing_shard_is_a_skip(make_shard, serving):
    folder = make_shard("a.tar", {str(i): bytes([i]) * 3_000_000 for i in range(4)}).parent
    with serving(folder) as url:
        samples = samples_of(f"{url}/a.tar")
        (missing,) = samples_of(f"{url}/b.tar")
    assert [s.key for s in samples] == ["0", "1", "2", "3"]
    assert all(s.video == bytes([i]) * 3_000_000 for i, s in enumerate(samples))
    assert missing.reason == "unreadable_shard"
    assert missing.shard.endswith("/b.tar")


@pytest.mark.parametrize(
    ("bytes_sent", "then", "expected"),
    [
        (0, "silence", ["stalled_shard"]),
        (25_000, "silence", ["1", "stalled_shard"]),
        (25_000, "the end", ["1", "truncated_shard"]),
    ],
)
def test_a_web_server_that_falls_silent_or_hangs_up_costs_the_rest_of_its_shard(
    make_shard, serving, bytes_sent, then, expected
):
    content = make_shard("a.tar", {"1": b"v" * 2000, "2": b"v" * 90_000}).read_bytes()
    over = threading.Event()

    class Failing(SimpleHTTPRequestHandler):
        def do_GET(self):
            if bytes_sent:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:bytes_sent])
            if then == "silence":
                over.wait(20)

    with serving(Failing) as url:
        assert items(f"{url}/a.tar", timeout_s=0.3) == expected
        over.set()


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (3 * 512 + 2048, ["1", "unreadable_shard"]),  # the json's header and block have come
        (512 + 2048, ["unreadable_shard"]),  # the video alone
        (512 + 1000, ["unreadable_shard"]),
    ],
)
def test_a_whole_sample_is_given_before_a_command_that_fails_ends_its_shard(
    make_shard, cut, expected
):
    shard = make_shard("a.tar", {"1": b"v" * 2000, "2": b"v" * 2000})
    assert items(f"pipe:head -c {cut} {shard}; exit 3") == expected


def test_a_server_that_answers_nonsense_or_is_gone_costs_its_shard(serving):
    class Nonsense(SimpleHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"what?\r\n")

    with serving(Nonsense) as url:
        assert items(f"{url}/a.tar") == ["unreadable_shard"]
    assert items(f"{url}/a.tar") == ["unreachable_shard"]


def alive(pid):
    return Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text()


def test_a_pipe_that_falls_silent_costs_the_rest_of_its_shard_and_is_killed(make_shard, tmp_path):
    path = make_shard("a.tar", {"1": b"v" * 2000, "2": b"v" * 90_000})
    command = f"sh -c 'echo $$ > {tmp_path}/pid; head -c 25000 {path}; exec sleep 100' | cat"
    assert items(f"pipe:{command}", timeout_s=0.3) == ["1", "stalled_shard"]
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(pid)


def test_a_pipe_that_never_writes_is_a_stalled_shard():
    assert items("pipe:sleep 100", timeout_s=0.1) == ["stalled_shard"]


def test_a_pipe_that_writes_all_and_does_not_end_is_stalled_after_its_samples(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    assert items(f"pipe:cat {path}; exec >&-; sleep 100", 0.3) == ["1", "stalled_shard"]


def test_a_slow_pipe_is_waited_for(make_shard):
    path = make_shard("a.tar", {"1": b"v" * 2000, "2": b"v"})
    command = f"head -c 1000 {path}; sleep 0.3; tail -c +1001 {path}"
    assert items(f"pipe:{command}", timeout_s=20.0) == ["1", "2"]


def test_a_command_that_ends_with_an_error_is_named_after_its_samples(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    shard = f"pipe:cat {path}; exit 3"
    *_, last = samples_of(shard)
    assert last == Skip("unreadable_shard", shard, "the command ended with status 3")


def test_an_address_may_have_spaces_and_letters_of_any_alphabet(make_shard, serving):
    path = make_shard("ein Käse.tar", {"1": b"v"})
    with serving(path.parent) as url:
        assert items(f"{url}/ein Käse.tar") == ["1"]
        assert items(f"{url}/ein%20K%C3%A4se.tar") == ["1"]


def test_a_pipeline_that_cuts_its_source_short_is_no_error(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    command = f"bash -c 'set -o pipefail; cat {path} /dev/zero | head -c {path.stat().st_size}'"
    assert items(f"pipe:{command}") == ["1"]


def test_what_follows_a_tar_is_not_read_forever(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    assert items(f"pipe:cat {path} /dev/zero") == ["1"]


def test_bad_streams_become_skips(make_shard, tmp_path):
    cut = make_shard("cut.tar", {"1": b"v" * 3000, "2": b"v" * 3000})
    os.truncate(cut, 6000)
    half = make_shard("half.tar", {"1": b"v"}, without_json=["1"])
    empty = make_shard("empty.tar", {})
    (tmp_path / "zero.tar").touch()
    (tmp_path / "text.tar").write_bytes(b"<html>" * 500)

    assert items(f"pipe:cat {cut}")[-1] == "truncated_shard"
    assert items(f"pipe:cat {half}") == ["missing_json"]
    assert items(f"pipe:cat {empty}") == ["empty_shard"]
    assert items(f"pipe:cat {tmp_path / 'zero.tar'}") == ["empty_shard"]
    assert items(f"pipe:cat {tmp_path / 'text.tar'}") == ["corrupt_shard"]
    assert items("pipe:exit 3") == ["unreadable_shard"]


def test_files_that_no_sample_uses_are_never_held(monkeypatch, tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, size in {"1.mp4": 9, "1.json": 2, "1.npy": 5000, "2.npy": 5, "3.mp4": 9}.items():
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    monkeypatch.setattr(wanted_files, "MEMBER_LIMIT", 1000)
    assert items(f"pipe:cat {path}") == ["1", "missing_video", "missing_json"]


def test_a_sample_larger_than_a_video_may_be_costs_only_itself(monkeypatch, make_shard):
    path = make_shard("a.tar", {"1": b"v" * 1001, "2": b"v"})
    monkeypatch.setattr(wanted_files, "MEMBER_LIMIT", 1000)
    assert items(f"pipe:cat {path}") == ["too_large", "2"]


def test_an_object_store_gives_its_samples_and_its_clients_errors_cost_a_shard(
    make_shard, monkeypatch
):
    whole = make_shard("a.tar", {"1": b"v", "2": b"w"}).read_bytes()
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/a.tar": whole, "/bucket/cut.tar": whole[:900]})
    assert items("memory://bucket/a.tar") == ["1", "2"]
    assert items("memory://bucket/cut.tar") == ["truncated_shard"]
    assert items("memory://bucket/b.tar") == ["unreadable_shard"]

    class BotoCoreError(Exception):
        pass

    def refuse(path, mode):
        raise BotoCoreError("no credentials")

    client = types.SimpleNamespace(BotoCoreError=BotoCoreError)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", client)
    monkeypatch.setattr(store, "open", refuse)
    (skip,) = samples_of("memory://bucket/a.tar")
    assert skip == Skip("unreadable_shard", "memory://bucket/a.tar", "no credentials")
    store.rm("/bucket", recursive=True)
