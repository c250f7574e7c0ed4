import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding.auto_decoder import make_decoder
from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.decoding.wire import Peer, pack_request

# speaks as wire.py does, but imports next to nothing: it is started dozens of times
CHILD = """
import json, os, socket, struct, sys, time
line = socket.socket(fileno=int(sys.argv[1]))

def send(text, body=b""):
    line.sendall(struct.pack(">IQ", len(text), len(body)) + text + body)

def tell(message, body=b""):
    send(json.dumps(message).encode(), body)

def read(count):
    return b"" if count == 0 else line.recv(count, socket.MSG_WAITALL)

tell({"ready": True})
text_bytes, video_bytes = struct.unpack(">IQ", read(12))
read(text_bytes)
video = read(video_bytes)
"""


@pytest.fixture
def misbehaving(tmp_path):
    """A decoding process that runs `code` once it has a video."""
    processes = []

    def make(code, timeout_s=0.5, name="auto"):
        script = tmp_path / "child.py"
        script.write_text(CHILD + code)
        config = DecoderConfig(timeout_s=timeout_s, name=name)
        processes.append(DecodeProcess(config, command=[sys.executable, str(script)]))
        return processes[-1]

    yield make
    for process in processes:
        process.close()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_child_gives_the_same_clip_as_the_decoder_itself(make_video, make_request):
    video, request = make_video(), make_request(start=0.5)
    with DecodeProcess(DecoderConfig()) as process:
        decoded = process.decode(video, request)
    here = make_decoder("auto").decode(video, request)
    np.testing.assert_array_equal(decoded.clip, here.clip)
    np.testing.assert_array_equal(decoded.times, here.times)
    assert decoded.decoder == "pyav"


def test_several_clips_come_back_in_one_answer(make_video, make_request):
    video, requests = make_video(), [make_request(3), make_request(2, start=0.5, size=(16, 24))]
    with DecodeProcess(DecoderConfig()) as process:
        together = [np.empty(request.shape, dtype=np.uint8) for request in requests]
        decoded = process.decode_into(video, requests, together)
        alone = [process.decode(video, request) for request in requests]
    for left, times, right in zip(together, decoded.times, alone, strict=True):
        np.testing.assert_array_equal(left, right.clip)
        np.testing.assert_array_equal(times, right.times)


def test_the_reason_comes_back(make_request):
    with (
        DecodeProcess(DecoderConfig()) as process,
        pytest.raises(DecodeError, match="empty_file"),
    ):
        process.decode(b"", make_request())


@pytest.mark.parametrize(
    "code",
    ["time.sleep(60)", "while True: line.send(b'\\0'); time.sleep(0.02)"],
    ids=["silent", "a byte now and then"],
)
def test_a_child_that_gives_no_whole_answer_in_time_is_killed(misbehaving, make_request, code):
    process = misbehaving("line.sendall(struct.pack('>IQ', 1 << 20, 0))\n" + code, timeout_s=0.3)
    with pytest.raises(DecodeError, match=r"decode_timeout: .*data\.decoder\.timeout_s=0\.3"):
        process.decode(b"video", make_request())


@pytest.mark.slow
def test_any_number_of_hanging_videos_in_a_row_are_skips(misbehaving, make_request, caplog):
    process = misbehaving(
        "video == b'good' or time.sleep(60)\ntell({'reason': 'bad'})", timeout_s=0.2
    )
    for video in (b"1", b"2", b"3"):
        with pytest.raises(DecodeError, match="decode_timeout"):
            process.decode(video, make_request())
    with pytest.raises(DecodeError, match="bad"):
        process.decode(b"good", make_request())
    assert caplog.text.count("a fresh decoding process tries again: decode_timeout") == 3


@pytest.mark.slow
def test_a_child_that_does_not_even_read_is_killed(tmp_path, make_request):
    script = tmp_path / "deaf.py"
    script.write_text(CHILD.split("text_bytes, video_bytes")[0] + "time.sleep(60)")
    config = DecoderConfig(timeout_s=0.5)
    with (
        DecodeProcess(config, command=[sys.executable, str(script)]) as process,
        pytest.raises(DecodeError, match="decode_timeout"),
    ):
        process.decode(bytes(1 << 24), make_request())


@pytest.mark.parametrize(
    "code",
    [
        "os.kill(os.getpid(), 11)",
        "os._exit(3)",
        "tell({'decoder': 'x'}, bytes(10))",
        "tell({'reason': 'x'}, bytes(10))",
        "tell({'decoder': 'x'}, bytes(24))",
        "tell({'decoder': 'x'}, b'\\xff' * 32)",
        "tell({'clips': 'none'})",
        "tell({'reason': ['no', 'word']})",
        "tell({'reason': '\\x1b[2J'})",
        "tell({'decoder': {}})",
        "tell([1, 2])",
        "send(b'[' * 100_000)",
        "send(b'{\"decoder\": ' * 10_000)",
        "send(b'\\xff\\xfe')",
        "line.sendall(b'\\xff' * 100)",
    ],
)
def test_a_child_that_crashes_or_lies_costs_one_sample(misbehaving, make_request, code):
    process = misbehaving(code)
    with pytest.raises(DecodeError, match="decoder_crashed"):
        process.decode(b"video", make_request())


def test_a_crash_is_followed_by_a_working_child_and_the_same_clip(make_video, make_request):
    with DecodeProcess(DecoderConfig()) as process:
        before = process.decode(make_video(), make_request())
        process._child.kill()
        after = process.decode(make_video(), make_request())
    np.testing.assert_array_equal(before.clip, after.clip)


@pytest.mark.slow
def test_an_interruption_does_not_leave_its_answer_to_the_next_video(
    make_video, make_request, monkeypatch
):
    dark, bright = (make_video(4, levels=[level] * 4) for level in (30, 200))
    with DecodeProcess(DecoderConfig()) as process:
        receive = Peer.receive
        process.decode(dark, make_request(2, 10.0))

        def interrupted(peer):
            monkeypatch.setattr(Peer, "receive", receive)
            raise KeyboardInterrupt

        monkeypatch.setattr(Peer, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            process.decode(dark, make_request(2, 10.0))
        assert process.decode(bright, make_request(2, 10.0)).clip.mean() > 150


def test_signals_to_the_whole_job_do_not_cost_a_sample(make_video, make_request):
    with DecodeProcess(DecoderConfig()) as process:
        process.decode(make_video(), make_request())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            process._child.send_signal(number)
        assert process.decode(make_video(), make_request()).clip.shape == (4, 32, 32, 3)


def test_a_child_that_cannot_start_says_how_to_see_why(make_request):
    process = DecodeProcess(DecoderConfig(), command=[sys.executable, "-c", "raise SystemExit(7)"])
    with pytest.raises(ChildProcessError, match="exit status 7"):
        process.decode(b"video", make_request())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of such a death")
def test_a_child_that_is_decoding_does_not_outlive_its_killed_parent(
    tmp_path, make_mov, make_request
):
    video = tmp_path / "hangs.mov"
    video.write_bytes(
        make_mov(b"\0", count=1000, each=1, overlap=True, edits=[(1000, 0)] * 100_000)
    )
    folder = tmp_path / "tmp"
    folder.mkdir()
    message = {"requests": [pack_request(make_request())], "timeout_s": 60.0}
    code = (
        "from worldmodel_train.data.config import DecoderConfig\n"
        "from worldmodel_train.data.decoding.decode_process import DecodeProcess\n"
        "import os, pathlib, sys\n"
        "process = DecodeProcess(DecoderConfig())\n"
        "peer, memory = process._start()\n"
        "print(process._child.pid, flush=True)\n"
        f"peer.send({message!r}, pathlib.Path({str(video)!r}).read_bytes())\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    child = int(parent.stdout)
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)
    assert list(folder.iterdir()) == []


def test_the_child_imports_no_torch():
    code = "import worldmodel_train.data.decoding.decode_child, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_copy_starts_its_own_child(make_video, make_request):
    with DecodeProcess(DecoderConfig()) as process:
        process.decode(make_video(), make_request())
        copy = pickle.loads(pickle.dumps(process))
        assert copy._child is None


def test_python_files_of_the_current_folder_are_not_run(
    tmp_path, monkeypatch, make_video, make_request
):
    for name in ("cv2", "json", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    with DecodeProcess(DecoderConfig()) as process:
        assert process.decode(make_video(), make_request()).clip.shape == (4, 32, 32, 3)
    assert not (tmp_path / "ran").exists()


def test_a_crashed_child_keeps_its_last_words(misbehaving, make_request):
    process = misbehaving("print('corrupted size vs. prev_size', file=sys.stderr)\nos._exit(3)")
    with pytest.raises(DecodeError, match=r"exit status 3; corrupted size vs\. prev_size"):
        process.decode(b"video", make_request())


def test_what_a_child_says_cannot_move_the_cursor(misbehaving, make_request):
    process = misbehaving("tell({'reason': 'bad', 'detail': '\\x1b[2J\\ud800' + 'x' * 9000})")
    with pytest.raises(DecodeError) as error:
        process.decode(b"video", make_request())
    assert error.value.detail.startswith("\\x1b[2J\\ud800xxx")
    assert len(error.value.detail) == 300


@pytest.mark.parametrize(
    "code",
    [
        "tell({'reason': 'out_of_memory'})",
        "print('what():  std::bad_alloc', file=sys.stderr, flush=True)\nos.abort()",
        "raise MemoryError",
        "os.kill(os.getpid(), 9)",
    ],
    ids=["says so", "aborts", "ends", "is killed from outside"],
)
def test_a_child_without_memory_is_a_reason_of_its_own_and_another_child_tries(
    misbehaving, make_request, caplog, code
):
    process = misbehaving(code)
    with pytest.raises(DecodeError) as error:
        process.decode(b"video", make_request())
    assert error.value.reason == "out_of_memory"
    assert "memory" in error.value.detail
    assert caplog.text.count("a fresh decoding process tries again: out_of_memory") == 1
    assert process._child is None  # what a failed allocation left behind is not known
