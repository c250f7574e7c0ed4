import io

from rich.console import Console

from worldmodel_train.evaluation.summary import summary_tables


def shown(result):
    console = Console(file=io.StringIO(), width=140)
    for table in summary_tables(result):
        console.print(table)
    return console.file.getvalue()


def line_of(text, start):
    (line,) = [line for line in text.splitlines() if line.strip(" │").startswith(start)]
    return line


def test_the_tables_show_trained_beside_untrained_and_baselines(result):
    text = shown(result)
    explained = line_of(text, "explained variance")
    assert "0.190 ± 0.004" in explained
    assert "0.030" in explained
    assert "\N{MINUS SIGN}0.100 ± 0.014" in line_of(text, "copy nearest")
    assert "15.5 of 128" in line_of(text, "RankMe of clip means")
    knn = line_of(text, "character, k-NN")
    assert "30.0 %" in knn
    assert "60.0 %" in knn
    assert "latent_prediction at step 400: It learned to predict. The latents did not" in text


def test_names_are_plain_text(result, measurement):
    found = result.measurements[1].result
    number = found.numbers[0].model_copy(update={"name": "[red]\x1b[1m"})
    found = found.model_copy(update={"numbers": (number,), "caption": "[bold]x"})
    result = result.model_copy(update={"measurements": (measurement("[i]t", found),)})
    text = shown(result)
    assert r"[red]\x1b[1m" in text
    assert "[bold]x" in text
    assert "[i]t" in text
