"""Runs side by side: their names and labels are text, whatever they hold."""

import io

from rich.console import Console

from worldmodel_train.evaluation.compare import comparison_table


def test_names_of_runs_and_of_tasks_are_plain_text(result):
    task = result.probes.tasks[0].model_copy(update={"label": "[bold]letter\x1b[0m"})
    probes = result.probes.model_copy(update={"tasks": (task,)})
    result = result.model_copy(update={"probes": probes})
    console = Console(file=io.StringIO(), width=300)
    console.print(comparison_table({"[red]a[/]": result, "[/]\x1b[1m\udcff": result}))
    text = console.file.getvalue()
    assert "[red]a[/]" in text
    assert r"[/]\x1b[1m\xff" in text
    assert r"[bold]letter\x1b[0m, knn" in text
    assert "\x1b" not in text
    assert text.count("0.190 ± 0.000") == 1
