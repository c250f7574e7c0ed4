"""How `wmt pretrain` alone ends: by signals from its first moment on, and where memory is short."""

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.launched import HEARS, TINY, WMT, Run, assert_gone, last_step, left_in
from worldmodel_train.cli.exit_codes import FAILED, TRY_AGAIN

pytestmark = pytest.mark.slow


def in_maps(process: int, library: str) -> bool:
    return library in Path(f"/proc/{process}/maps").read_text()


def decodes(run: Run) -> bool:
    return any("worldmodel_train.data.decoding.decode_child" in p.cmdline() for p in run.tree)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("SIGINT", lambda run: in_maps(run.launcher.pid, "libtorch_cpu")),  # imports have begun
        ("SIGHUP", lambda run: "starting from new weights" in run.said),
        ("SIGTERM", lambda run: run.tree),  # a loading process was started
        ("SIGINT", decodes),
    ],
)
def test_a_signal_at_any_moment_of_the_start_ends_the_run_at_once(tmp_path, name, moment):
    run = Run(tmp_path / "run", "train.steps=4000", launcher="alone")
    run.until(lambda: moment(run))
    started = run.tree
    run.launcher.send_signal(signal.Signals[name])
    assert run.code() == -signal.Signals[name]
    assert_gone(started, run)
    assert "step 2/" not in run.said
    assert left_in(run.temporary) == []


def test_a_lost_terminal_ends_a_run_after_a_save(tmp_path):
    process, terminal = pty.fork()
    run_dir = tmp_path / "run"
    if process == 0:
        command = (
            *HEARS,
            *WMT,
            "pretrain",
            "demo",
            *TINY,
            "train.steps=4000",
            f"run_dir={run_dir}",
        )
        os.execvp(command[0], command)
    while last_step(run_dir) < 2:
        os.read(terminal, 65536)  # what it shows; fails where it has ended
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    assert last_step(run_dir) == int(json.loads(metrics(run_dir)[-1])["step"])


def metrics(run_dir: Path) -> list[str]:
    return (run_dir / "metrics.jsonl").read_text().splitlines()


def test_a_killed_loading_process_is_one_line_and_worth_another_start(tmp_path):
    run = Run(tmp_path / "run", launcher="alone")
    run.until_saved(2)
    started = run.tree
    [loader] = run.ranks
    loader.kill()
    assert run.code() == TRY_AGAIN, run.said
    assert_gone(started, run)
    said = " ".join(run.said.split())
    assert "a loading process was lost (killed, mostly for memory); the same command" in said
    # PyTorch says it in one way or the other, as its signal handler or its queue is first
    assert re.search(rf"DataLoader worker \(pid(\(s\))? {loader.pid}\) (is killed|exited)", said), (
        said
    )
    assert "Traceback" not in said
    assert left_in(run.temporary) == []


def test_full_shared_memory_is_one_line_with_the_remedy(tmp_path):
    """A limit on files stands for the size of /dev/shm, as it meets the same call."""
    run_dir = tmp_path / "run"
    ended = subprocess.run(
        ("prlimit", "--fsize=100000", *WMT, "pretrain", "demo", *TINY, f"run_dir={run_dir}"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == FAILED, ended.stderr
    last = ended.stderr.splitlines()[-1]
    [left] = re.findall(r"</(torch_\w+)>", last)
    (Path("/dev/shm") / left).unlink(missing_ok=True)  # PyTorch leaves it there, empty
    assert last.startswith("wmt: /dev/shm is full: mount more (docker: --shm-size=8g")
    assert "data.loader.workers" in last
    assert "Traceback" not in ended.stderr
