import io

from rich.console import Console

from worldmodel_train.evaluation.summary import summary_table


def test_the_table_shows_trained_beside_untrained_and_baselines(result):
    console = Console(file=io.StringIO(), width=140)
    console.print(summary_table(result))
    text = console.file.getvalue()
    (explained,) = [line for line in text.splitlines() if "explained variance " in line]
    assert "0.190 ± 0.004" in explained
    assert "0.030" in explained
    (knn,) = [line for line in text.splitlines() if "character, k-NN" in line]
    assert "30.0 %" in knn
    assert "60.0 %" in knn
    assert "learned, no collapse" in text


def test_a_result_without_probes_has_a_table_too(result):
    table = summary_table(result.model_copy(update={"probes": None}))
    assert table.row_count == 7


def test_a_label_is_plain_text(result):
    task = result.probes.tasks[0].model_copy(update={"label": "[red]\x1b[1m"})
    probes = result.probes.model_copy(update={"tasks": (task,)})
    console = Console(file=io.StringIO(), width=140)
    console.print(summary_table(result.model_copy(update={"probes": probes})))
    assert r"[red]\x1b[1m, k-NN" in console.file.getvalue()
