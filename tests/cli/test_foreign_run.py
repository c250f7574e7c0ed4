"""Folders of Hugging Face weights, which become runs."""

import csv
import json
import multiprocessing
import shutil

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VJEPA2Config, VJEPA2Model
from typer.testing import CliRunner

from tests.interop.conftest import build
from tests.interop.test_huggingface import edit_weights, pixels
from worldmodel_train.cli.commands import app
from worldmodel_train.cli.foreign_run import FPS, IMPORTED, recipe_of, run_of
from worldmodel_train.cli.objectives import load_part, trained_objective
from worldmodel_train.evaluation.result import load_result
from worldmodel_train.interop import CheckpointError, ClipSize, export_checkpoint
from worldmodel_train.models.frozen import PartConfig
from worldmodel_train.recipe import load_recipe
from worldmodel_train.training.checkpoints.folder import CheckpointFolder, find_checkpoint
from worldmodel_train.training.run_lock import run_lock

QUICK = (
    "robustness.max_clips=2", "robustness.clips_per_video=1",
    "robustness.corruptions=[brightness]",
)  # fmt: skip


def wmt(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "300"})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder that transformers saved, and the model in it."""
    folder = tmp_path_factory.mktemp("weights") / "small_vjepa2"
    torch.manual_seed(0)
    model = VJEPA2Model(
        VJEPA2Config(
            patch_size=16,
            crop_size=64,
            frames_per_clip=2,
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            mlp_ratio=4.0,
            pred_hidden_size=24,
            pred_num_hidden_layers=1,
            pred_num_attention_heads=2,
        )
    )
    model.save_pretrained(folder)
    return folder, model.eval()


@pytest.fixture
def video(saved, tmp_path):
    return shutil.copytree(saved[0], tmp_path / "small_vjepa2")


@pytest.fixture
def image(tmp_path):
    folder = tmp_path / "small_ijepa"
    clip = ClipSize(frames=1, height=96, width=96)
    export_checkpoint(build("sincos2d"), folder, layout="huggingface", clip=clip)
    return folder


def test_a_folder_of_transformers_is_measured_as_a_run(saved, tmp_path, monkeypatch):
    folder, model = saved
    monkeypatch.chdir(tmp_path)
    outcome = wmt("eval", folder, "--task", "robustness", *QUICK)
    assert outcome.exit_code == 0, outcome.exception
    run_dir = tmp_path / "runs" / "small_vjepa2"
    (found,) = load_result(run_dir).measurements
    assert (found.task, found.step) == ("robustness", 0)
    table = (tmp_path / "runs" / "leaderboard.csv").read_text()
    assert {row["run"] for row in csv.DictReader(table.splitlines())} == {"small_vjepa2"}

    written = (run_dir / "checkpoints" / "last").stat().st_mtime_ns
    again = wmt("eval", folder, "--task", "robustness", *QUICK)
    assert "was imported into runs/small_vjepa2 before" in again.output
    assert (run_dir / "checkpoints" / "last").stat().st_mtime_ns == written

    clips = torch.randint(0, 256, (2, 2, 64, 64, 3), dtype=torch.uint8)
    encoder = trained_objective(find_checkpoint(run_dir, "RUN")).target_encoder
    with torch.no_grad():
        (latents,) = encoder(clips)
        expected = model(pixels(clips), skip_predictor=True).last_hidden_state
    torch.testing.assert_close(latents, expected, rtol=1e-5, atol=1e-5)
    part = PartConfig(checkpoint=run_dir, part="target_encoder")
    assert load_part(part, key="method.encoder").fingerprint


def test_a_folder_of_images_is_measured_on_images(image, tmp_path):
    outcome = wmt("eval", image, "--out", tmp_path / "run", *QUICK)
    assert outcome.exit_code == 0, outcome.exception
    assert "the predictor is as drawn" in outcome.output
    (found,) = load_result(tmp_path / "run").measurements
    assert found.settings["corruptions"] == ["brightness"]


@pytest.fixture
def videomae(tmp_path):
    """A folder of a VideoMAE with its decoder, and the model in it."""
    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=64,
        num_frames=2,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        decoder_hidden_size=24,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
    )
    model = VideoMAEForPreTraining(config).eval()
    model.save_pretrained(tmp_path / "small_videomae")
    return tmp_path / "small_videomae", model.videomae


def test_a_videomae_is_measured_and_its_encoder_serves_probes(videomae, tmp_path):
    folder, model = videomae
    outcome = wmt("eval", folder, "--out", tmp_path / "run", *QUICK)
    assert outcome.exit_code == 0, outcome.exception
    assert "the predictor is as drawn" in outcome.output
    assert load_result(tmp_path / "run").measurements[0].step == 0

    clips = torch.randint(0, 256, (2, 2, 64, 64, 3), dtype=torch.uint8)
    part = PartConfig(checkpoint=tmp_path / "run", part="target_encoder")
    encoder = load_part(part, key="method.encoder").on(torch.device("cpu"))
    with torch.no_grad():
        (latents,) = encoder(clips)
        expected = model(pixels(clips)).last_hidden_state
    torch.testing.assert_close(latents, expected, rtol=1e-5, atol=1e-5)


def test_clips_of_another_size_than_positions_count_are_refused_by_name(videomae, tmp_path):
    run_dir = run_of(videomae[0], tmp_path / "run")
    stored = CheckpointFolder(run_dir).last() / "recipe.yaml"
    with pytest.raises(ValueError, match="sincos1d counts 1x4x4 tokens, and clips have 1x2x2"):
        load_recipe(stored, ["data.augment.size=32"])


def test_clips_are_of_the_models_size_and_no_longer_than_the_shipped_ones(video):
    config = video / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"frames_per_clip": 64}))
    held_out = recipe_of(video).data.facts().held_out
    assert held_out.clip == (64, 64, 64)
    clip = recipe_of(video).data.held_out.clip
    assert clip.fps > FPS
    assert clip.frames / clip.fps == 4.0


def test_other_weights_are_not_taken_for_those_that_were_imported(video, tmp_path):
    run_dir = run_of(video, tmp_path / "run")
    moved = shutil.copytree(video, tmp_path / "elsewhere")
    assert run_of(moved, run_dir) == run_dir
    edit_weights(video, lambda tensors: tensors.update({k: v + 1 for k, v in tensors.items()}))
    with pytest.raises(ValueError, match="choose another directory by --out"):
        run_of(video, run_dir)
    (run_dir / IMPORTED).unlink()
    with pytest.raises(ValueError, match="holds another run"):
        run_of(moved, run_dir)


def _hold(run_dir, held, done):
    with run_lock(run_dir):
        held.set()
        done.wait()


def test_two_processes_do_not_import_into_one_run(video, tmp_path):
    (tmp_path / "run").mkdir()
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "run", held, done))
    other.start()
    held.wait()
    with pytest.raises(ValueError, match="is in use by another process"):
        run_of(video, tmp_path / "run")
    done.set()
    other.join()
    assert CheckpointFolder(run_of(video, tmp_path / "run")).last()


def test_a_recipe_of_ones_own_called_demo_is_not_taken(video, tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "demo.yaml").write_text("name: mine")
    monkeypatch.chdir(tmp_path)
    assert recipe_of(video).name == "small_vjepa2"


def test_an_import_that_was_cut_is_made_again(video, tmp_path):
    weights = (video / "model.safetensors").read_bytes()
    (video / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(CheckpointError):
        run_of(video, tmp_path / "run")
    (video / "model.safetensors").write_bytes(weights)
    assert CheckpointFolder(run_of(video, tmp_path / "run")).last()


def test_a_folder_without_config_or_weights_says_what_is_missing(video):
    (video / "model.safetensors").unlink()
    assert "has no model.safetensors" in str(wmt("eval", video).exception)
    (video / "config.json").rename(video / "model.safetensors")
    assert "has no config.json" in str(wmt("eval", video).exception)
