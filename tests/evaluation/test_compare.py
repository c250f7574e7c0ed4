"""Runs side by side: all that any of them has, and text as it is, whatever it holds."""

import io

from rich.console import Console

from worldmodel_train.evaluation.compare import comparison_table
from worldmodel_train.evaluation.result import EvaluationResult
from worldmodel_train.evaluation.task_result import Number, TaskResult, once


def shown(results):
    console = Console(file=io.StringIO(), width=300)
    console.print(comparison_table(results))
    return console.file.getvalue()


def cells(text, start):
    """The cells of the row that begins so."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    (row,) = [row[1:] for row in rows if row and row[0] == start]
    return row


def test_numbers_that_runs_share_have_mean_and_spread_and_others_a_dash(result, measurement):
    loss = Number(name="loss", trained=once(1.5), baselines={"untrained": once(2.0)})
    other = EvaluationResult(
        name="b",
        measurements=(
            measurement("held_out_loss", TaskResult(measured_on="x", numbers=(loss,))),
            result.measurements[1],
        ),
    )
    text = shown({"a": result, "b": other})
    assert cells(text, "explained variance, trained") == ["0.190", "-", "-"]
    assert cells(text, "loss, untrained") == ["-", "2.000", "-"]
    assert cells(text, "character, k-NN, mean, trained") == ["30.0 %", "30.0 %", "30.0 ± 0.0 %"]
    assert "alike" not in text


def test_runs_that_were_measured_otherwise_are_pointed_out(result, measurement):
    probes = result.measurements[1]
    other = measurement("pen_strokes", probes.result, settings={"splits": 1})
    text = shown({"a": result, "b": result.with_measurements([other])})
    assert "not known to have been measured alike in all runs: pen_strokes" in text


def test_names_of_runs_and_of_numbers_are_plain_text(result):
    probes = result.measurements[1]
    number = probes.result.numbers[0].model_copy(update={"name": "[bold]letter\x1b[0m"})
    found = probes.result.model_copy(update={"numbers": (number,)})
    result = result.with_measurements([probes.model_copy(update={"result": found})])
    text = shown({"[red]a[/]": result, "[/]\x1b[1m\udcff": result})
    assert "[red]a[/]" in text
    assert r"[/]\x1b[1m\xff" in text
    assert r"[bold]letter\x1b[0m, trained" in text
    assert "\x1b" not in text
