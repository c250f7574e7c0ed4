import csv
import multiprocessing

import pytest

from worldmodel_train.evaluation.leaderboard import COLUMNS, append_to_leaderboard
from worldmodel_train.evaluation.result import Machine, Measurement
from worldmodel_train.evaluation.task_result import Measured, Number, TaskResult, once

MACHINE = Machine(processor="a CPU", num_cores=2, device="CPU", versions={})
NUMBERS = (
    Number(
        name="accuracy",
        trained=Measured(values=(0.5, 0.7)),
        baselines={"untrained": once(0.3), "chance": once(0.1), "pixels": once(0.4)},
    ),
    Number(
        name="loss",
        lower_is_better=True,
        trained=once(0.5),
        baselines={"mean": once(0.9), "copy": once(0.8), "nothing": once(float("nan"))},
    ),
    Number(name="rank", trained=once(-3.0), baselines={"untrained": once(2.0)}),
)


def measurement(numbers=NUMBERS, measured_on="2 clips"):
    return Measurement(
        task="a_task",
        settings={},
        step=7,
        result=TaskResult(measured_on=measured_on, numbers=numbers),
        machine=MACHINE,
        seconds=1.25,
    )


def append(run_dir, what=None):
    what = what or measurement()
    return append_to_leaderboard(run_dir, recipe="demo", method="jepa/vjepa", measurement=what)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_number_is_a_row_beside_what_it_has_to_beat(tmp_path):
    path = append(tmp_path / "a")
    assert path == tmp_path / "leaderboard.csv"
    accuracy, loss, rank = rows_of(path)
    assert tuple(accuracy) == COLUMNS
    assert (accuracy["run"], accuracy["recipe"], accuracy["step"]) == ("a", "demo", "7")
    assert float(accuracy["value"]) == pytest.approx(0.6)
    assert float(accuracy["spread"]) == pytest.approx(0.02**0.5)
    assert (accuracy["best_baseline"], accuracy["best_baseline_value"]) == ("pixels", "0.4")
    assert accuracy["untrained"] == "0.3"
    assert (loss["best_baseline"], loss["untrained"], loss["spread"]) == ("copy", "", "")
    assert (rank["best_baseline"], rank["value"]) == ("", "-3.0")


def test_evaluations_add_to_each_other_under_one_header(tmp_path):
    append(tmp_path / "a")
    path = append(tmp_path / "b")
    assert [row["run"] for row in rows_of(path)] == ["a"] * 3 + ["b"] * 3


def _many(run_dir):
    for _ in range(20):
        append(run_dir)


def test_processes_that_append_at_once_lose_no_row(tmp_path):
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_many, args=(tmp_path / name,)) for name in "ab"]
    for one in both:
        one.start()
    for one in both:
        one.join()
    rows = rows_of(tmp_path / "leaderboard.csv")
    assert len(rows) == 2 * 20 * 3
    assert {(row["run"], row["number"]) for row in rows} == {
        (run, number.name) for run in "ab" for number in NUMBERS
    }


def test_a_row_that_was_cut_does_not_swallow_the_next(tmp_path):
    path = append(tmp_path / "a")
    path.write_bytes(path.read_bytes() + b"2026,half")
    append(tmp_path / "b")
    assert [row["run"] for row in rows_of(path)] == ["a"] * 3 + ["half"] + ["b"] * 3


@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_no_name_is_a_formula(tmp_path, sign):
    path = append(tmp_path / f"{sign}HYPERLINK(1)", measurement(measured_on=f"{sign}1"))
    row = rows_of(path)[0]
    assert (row["run"], row["measured_on"]) == (f"'{sign}HYPERLINK(1)", f"'{sign}1")


def test_a_name_of_several_lines_is_one_row(tmp_path):
    path = append(tmp_path / "a\n=1\r2\udc80")
    assert len(path.read_text().splitlines()) == 1 + len(NUMBERS)


@pytest.mark.parametrize("what", ["a table of others", "a folder"])
def test_a_file_of_others_is_left_alone_with_a_warning(tmp_path, caplog, what):
    path = tmp_path / "leaderboard.csv"
    if what == "a folder":
        path.mkdir()
    else:
        path.write_text("name,score\nx,1\n")
    assert append(tmp_path / "a") is None
    assert "nothing was added to the leaderboard" in caplog.text
    assert path.is_dir() or path.read_text() == "name,score\nx,1\n"
