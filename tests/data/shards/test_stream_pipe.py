import os
import select
import signal
import subprocess
import sys

import pytest

from tests.data.shards.hostile_tars import END, ONE, base256, header
from worldmodel_train.batch import Skip
from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.stream_patience import Patience
from worldmodel_train.data.shards.stream_pipe import PipeStream
from worldmodel_train.data.shards.stream_samples import stream_samples


def items(command, timeout_s):
    found = stream_samples(f"pipe:{command}", timeout_s, Outages(0.0))
    return [i.reason if isinstance(i, Skip) else i.key for i in found]


def gone(pids, within_s=20.0):
    """Whether these processes end in time; no child of this process needs to be among them."""
    waiter = select.poll()
    left = set()
    for pid in pids:
        try:
            left.add(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    for descriptor in left:
        waiter.register(descriptor, select.POLLIN)
    ended = {d for d, _ in waiter.poll(0)}
    while ended != left and (now := waiter.poll(1000 * within_s)):
        for descriptor, _ in now:
            waiter.unregister(descriptor)
            ended.add(descriptor)
    for descriptor in left:
        os.close(descriptor)
    return ended == left


# a pipeline of a shell, two sleeps that hold the pipe open, and one in the background
STALLED = "sleep 1000 & echo $$ $!; sleep 1001 | sleep 1002"


def test_killing_the_process_that_reads_ends_the_whole_pipeline():
    program = (
        "from worldmodel_train.data.shards.stream_patience import Patience\n"
        "from worldmodel_train.data.shards.stream_pipe import PipeStream\n"
        f"stream = PipeStream({STALLED!r}, Patience(100.0))\n"
        "print(stream._guard.pid, stream.read(100).decode(), flush=True)\n"
        "stream.read(1)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        guard, *pids = map(int, reader.stdout.readline().split())
        reader.send_signal(signal.SIGKILL)
    assert gone([guard, *pids])


def test_closing_ends_what_the_command_has_left_behind():
    stream = PipeStream("sleep 1000 >&- & echo $!", Patience(100.0))
    pid = int(stream.read(100))
    assert stream.read(1) == b""  # the command itself has ended
    stream.close()
    assert gone([pid])


def test_a_command_reads_nothing_from_the_terminal_of_the_run():
    stream = PipeStream("cat; echo end", Patience(100.0))
    assert stream.read(100) == b"end\n"
    stream.close()


@pytest.mark.parametrize(
    ("start", "then", "timeout_s", "expected"),
    [
        (b"", "while sleep 0.01; do printf x; done", 0.05, ["stalled_shard"]),
        (header("1.npy", base256(10**15)), "cat /dev/zero", 0.05, ["stalled_shard"]),
        (ONE + header("x", base256(10**15), b"x"), "cat /dev/zero", 20.0, ["1", "corrupt_shard"]),
        (ONE + END, "cat /dev/zero", 20.0, ["1"]),
    ],
)
def test_an_endless_pipe_ends(tmp_path, start, then, timeout_s, expected):
    (tmp_path / "start").write_bytes(start)
    assert items(f"cat {tmp_path}/start; {then}", timeout_s) == expected


def test_failing_commands_are_spaced_out_until_one_brings_a_sample(tmp_path, caplog):
    (tmp_path / "a.tar").write_bytes(ONE + END)
    pauses = []
    outages = Outages(1000.0, sleep=pauses.append)
    for command in ("exit 7", "exit 7", "exit 7", f"cat {tmp_path}/a.tar", "exit 7"):
        list(stream_samples(f"pipe:{command}", 20.0, outages))
    first, second, third, again = pauses
    assert again < 1.3 < second < third
    assert first < 1.3
    assert "is back" in caplog.text
