import pytest
import typer
from typer.testing import CliRunner

from benchmarks.family.__main__ import main
from benchmarks.family.trained import family

FEW = (
    "train.steps=2", "train.global_batch=4", "train.micro_batch=4", "optim.lr.warmup_steps=1",
    "checkpoint.every_steps=2", "log.every_steps=1", "log.online_probe=null",
    "evaluation=[{name: film_questions, films: 24, held_out: 6, splits: 1},"
    "{name: energy, max_samples: 4}, {name: held_out_loss, max_samples: 4, seeds: [0]}]",
)  # fmt: skip


def test_every_recipe_of_films_is_of_the_family():
    assert {"lejepa_films", "simclr_films", "mae_films", "autoencoder_films"} <= set(family())


@pytest.mark.slow
def test_two_of_the_family_are_trained_once_and_compared(tmp_path):
    app = typer.Typer()
    app.command()(main)
    asked = ["--only", "vicreg_films", "--only", "mae_films", "--runs", str(tmp_path / "runs"),
             "--page", str(tmp_path / "family.md"), *FEW]  # fmt: skip
    CliRunner().invoke(app, asked, catch_exceptions=False)
    text = (tmp_path / "family.md").read_text()
    assert "| `mae_films` |" in text
    assert "2 steps of" in text
    result = tmp_path / "runs" / "mae_films_seed0" / "evaluation.json"
    measured = result.stat().st_mtime_ns
    CliRunner().invoke(app, asked, catch_exceptions=False)
    assert result.stat().st_mtime_ns == measured
