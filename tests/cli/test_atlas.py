"""`wmt atlas` on weights that others trained, with clips of one's own."""

import re

import pytest
import torch
from transformers import VJEPA2Config, VJEPA2Model
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
CHAPTERS = [
    "Known states",
    "Map",
    "Features",
    "Around events",
    "Interventions",
    "What follows what",
]
SIZES = ["--films", "48", "--clips", "4", "--steps", "5"]


@pytest.mark.slow
def test_hugging_face_weights_give_a_page_of_every_chapter_and_nothing_from_elsewhere(tmp_path):
    torch.manual_seed(0)
    model = VJEPA2Model(
        VJEPA2Config(
            patch_size=16,
            crop_size=64,
            frames_per_clip=4,
            hidden_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            mlp_ratio=4.0,
            pred_hidden_size=24,
            pred_num_hidden_layers=1,
            pred_num_attention_heads=2,
        )
    )
    model.save_pretrained(tmp_path / "weights")
    shards = ["--data", "assets:demo/train/*.tar", "--out", str(tmp_path / "run")]
    arguments = ["atlas", str(tmp_path / "weights"), *shards, *SIZES]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.exception
    page = (tmp_path / "run" / "atlas.html").read_text()
    assert re.findall("<h2>(.*)</h2>", page) == CHAPTERS
    assert "Pushed, films of two things" in page
    links = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert len(links) > 10
    assert all(link.startswith("data:") for link in links)


def test_shards_that_are_not_there_are_refused_before_anything_is_drawn(tmp_path):
    recipe = load_recipe("demo", [*SMALL, f"run_dir={tmp_path}"])
    weights = untrained_objective(recipe).state_dict()
    save_imported(CheckpointFolder(tmp_path), weights, resolved_yaml(recipe))
    outcome = CliRunner().invoke(app, ["atlas", str(tmp_path), "--data", f"{tmp_path}/no-*.tar"])
    assert isinstance(outcome.exception, ValueError)
    assert "no-*.tar" in str(outcome.exception)


def test_a_folder_without_a_run_is_refused(tmp_path):
    outcome = CliRunner().invoke(app, ["atlas", str(tmp_path)])
    assert isinstance(outcome.exception, ValueError)
    assert "has no checkpoint" in str(outcome.exception)
