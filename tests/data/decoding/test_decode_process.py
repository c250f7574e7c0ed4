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
from worldmodel_train.data.decoding.wire import Peer

CHILD = """
import os, socket, sys, time
from worldmodel_train.data.decoding.wire import Peer
peer = Peer(socket.socket(fileno=int(sys.argv[1])))
peer.send({"ready": True})
message, size = peer.receive()
video = bytearray(size)
peer.receive_into(memoryview(video))
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
    np.testing.assert_array_equal(decoded.clip, make_decoder("auto").decode(video, request).clip)
    assert decoded.decoder == "pyav"


def test_several_clips_come_back_in_one_answer(make_video, make_request):
    video, requests = make_video(), [make_request(3), make_request(2, start=0.5, size=16)]
    with DecodeProcess(DecoderConfig()) as process:
        together = [np.empty(request.shape, dtype=np.uint8) for request in requests]
        process.decode_into(video, requests, together)
        alone = [process.decode(video, request).clip for request in requests]
    for left, right in zip(together, alone, strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_reason_comes_back(make_request):
    with (
        DecodeProcess(DecoderConfig()) as process,
        pytest.raises(DecodeError, match="empty_file"),
    ):
        process.decode(b"", make_request())


def test_a_child_that_sleeps_is_killed_and_replaced(misbehaving, make_request):
    process = misbehaving("time.sleep(60)")
    for _ in range(2):
        begin = time.monotonic()
        with pytest.raises(DecodeError, match="decode_timeout"):
            process.decode(b"video", make_request())
        assert time.monotonic() - begin < 10


def test_a_child_that_does_not_even_read_is_killed(tmp_path, make_request):
    script = tmp_path / "deaf.py"
    script.write_text(CHILD.split("message, size")[0] + "time.sleep(60)")
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
        "peer.send({'decoder': 'x'}, bytes(10))",
        "peer.send({'clips': 'none'})",
        "peer.send([1, 2])",
        "peer._line.sendall(b'\\xff' * 100)",
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
    with pytest.raises(RuntimeError, match="exit status 7"):
        process.decode(b"video", make_request())


def test_the_child_does_not_outlive_its_parent():
    code = (
        "from worldmodel_train.data.config import DecoderConfig\n"
        "from worldmodel_train.data.decoding.decode_process import DecodeProcess\n"
        "import os\n"
        "process = DecodeProcess(DecoderConfig())\n"
        "process._start()\n"
        "print(process._child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    child = int(parent.stdout)
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


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


def test_the_third_video_in_a_row_without_an_answer_stops_the_run(
    misbehaving, make_request, caplog
):
    process = misbehaving("time.sleep(60)", timeout_s=0.2, name="pyav")
    for video in (b"1", b"2", b"2"):
        with pytest.raises(DecodeError, match="decode_timeout"):
            process.decode(video, make_request())
    with pytest.raises(ValueError, match=r"timed out on 3 videos.*data\.decoder\.timeout_s"):
        process.decode(b"3", make_request())
    assert caplog.text.count("killed the decoding process") == 4


def test_an_answer_starts_the_count_anew(misbehaving, make_request):
    process = misbehaving(
        "video == b'x' and os._exit(3)\npeer.send({'reason': 'bad'})", name="pyav"
    )
    process._lost = {1, 2}
    with pytest.raises(DecodeError, match="bad"):
        process.decode(b"good", make_request())
    process.close()  # this child serves one video only
    with pytest.raises(DecodeError, match="decoder_crashed"):
        process.decode(b"x", make_request())


def test_a_crashed_child_keeps_its_last_words(misbehaving, make_request):
    process = misbehaving("print('corrupted size vs. prev_size', file=sys.stderr)\nos._exit(3)")
    with pytest.raises(DecodeError, match=r"exit status 3; corrupted size vs\. prev_size"):
        process.decode(b"video", make_request())
