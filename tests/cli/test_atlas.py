"""`wmt atlas` on an untrained run's checkpoint."""

import re

import pytest
from typer.testing import CliRunner

from worldmodel_train.cli.commands import app
from worldmodel_train.cli.objectives import untrained_objective
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported

SMALL = (
    "method.encoder.size={width: 16, depth: 1, heads: 2}",
    "method.predictor={width: 16, depth: 1, heads: 2, mask_tokens: 2}",
    "method.encoder.position.name=sincos3d",
    "data.augment.size=64",
)
CHAPTERS = ["Known states", "Map", "Features", "Around events", "What follows what"]


@pytest.mark.slow
def test_a_page_with_every_chapter_and_nothing_from_elsewhere_is_written(tmp_path):
    recipe = load_recipe("demo", [*SMALL, f"run_dir={tmp_path}"])
    weights = untrained_objective(recipe).state_dict()
    save_imported(CheckpointFolder(tmp_path), weights, resolved_yaml(recipe))
    sizes = ["--films", "48", "--clips", "4", "--steps", "5"]
    outcome = CliRunner().invoke(app, ["atlas", str(tmp_path), *sizes])
    assert outcome.exit_code == 0, outcome.exception
    page = (tmp_path / "atlas.html").read_text()
    assert re.findall("<h2>(.*)</h2>", page) == CHAPTERS
    links = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert len(links) > 10
    assert all(link.startswith("data:") for link in links)


def test_a_folder_without_a_run_is_refused(tmp_path):
    outcome = CliRunner().invoke(app, ["atlas", str(tmp_path)])
    assert isinstance(outcome.exception, ValueError)
    assert "has no checkpoint" in str(outcome.exception)
