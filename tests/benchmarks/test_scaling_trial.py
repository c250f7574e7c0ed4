"""The tables and the picture of a disturbed run say what its metrics say."""

import json
from pathlib import Path

import pytest

from benchmarks import scaling_trial as trial

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scaling_trial.py"


def write_run(directory: Path, losses: list[float], first_step: int = 1) -> Path:
    checkpoint = directory / "checkpoints" / "step_00000008"
    checkpoint.mkdir(parents=True)
    (directory / "checkpoints/last").write_text(f"{checkpoint.name}\n")
    (checkpoint / "weights").write_bytes(b"w" * 1000)
    (checkpoint / "moments").write_bytes(b"m" * 500)
    lines = [
        {"step": step, "loss": loss, "step_ms": 10.0 * step}
        for step, loss in enumerate(losses, first_step)
    ]
    (directory / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return directory


@pytest.fixture
def runs(tmp_path):
    """A run that was killed after step 6, went on from 4, and differs from there."""
    whole = trial.Trained.read(write_run(tmp_path / "two_tasks", [1.0] * 8))
    stopped = trial.Trained.read(write_run(tmp_path / "disturbed", [1.0] * 4 + [1.001, 1.002] * 2))
    event = trial.Event(what="kill -9", step=6, resumed=4, until_start_s=1.25, until_step_s=9.5)
    return stopped, whole, event


def test_each_start_has_its_largest_difference(runs):
    stopped, whole, event = runs
    table = trial.deviations(stopped, [whole], [event]).splitlines()
    assert table[0] == "| steps | from two tasks |"
    assert table[2:] == ["| 1 to 4 | 0, bit for bit |", "| 5 to 8 | 2.0e-03 |"]


def test_an_event_costs_the_steps_since_the_checkpoint(runs):
    assert "| kill -9 | 6 | 4 | 2 | 1.2 s | 9.5 s |" in trial.ends([runs[2]])


def test_costs_are_those_of_the_steps_and_files_that_are_there(runs):
    stopped, whole, event = runs
    table = trial.costs(stopped, [whole], [event])
    assert "| two tasks | 45 ms |" in table
    assert "| disturbed, steps 5 to 8 | 65 ms |" in table
    assert "| last checkpoint, disturbed | 1,500 bytes | 2 files |" in table


def test_the_picture_has_an_event_where_the_run_went_on(runs, tmp_path):
    stopped, whole, event = runs
    figure = trial.draw(stopped, [whole], [event])
    above, below = figure.axes
    assert [text.get_text() for text in above.texts] == ["kill -9\n2 steps repeated"]
    (line,) = (line for line in below.lines if "two tasks" in line.get_label())
    assert list(line.get_ydata()[:4]) == [trial.EQUAL] * 4, "no difference has its own place"
    figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size < 150_000


def test_runs_that_cannot_be_compared_are_refused(tmp_path, runs):
    with pytest.raises(ValueError, match=r"lacks steps; train with log.every_steps=1"):
        trial.Trained.read(write_run(tmp_path / "late", [1.0], first_step=2))
    shorter = trial.Trained.read(write_run(tmp_path / "shorter", [1.0]))
    with pytest.raises(ValueError, match="other numbers of steps"):
        runs[0].differences(shorter)
