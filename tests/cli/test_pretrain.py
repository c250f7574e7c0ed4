import json

import cv2
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from worldmodel_train.cartography.tiling import GAP
from worldmodel_train.cli import _message
from worldmodel_train.cli.commands import app
from worldmodel_train.evaluation.result import load_result
from worldmodel_train.recipe import load_recipe

SHORT = (
    "train.steps=4", "train.global_batch=4", "train.micro_batch=4", "optim.lr.warmup_steps=1",
    "log.every_steps=1", "log.image_every=4", "data.loader.workers=0", "checkpoint.every_steps=2",
    "evaluation=[{name: latent_prediction, max_clips: 6, mask_seeds: [0], picture_clips: 2}]",
)  # fmt: skip
WIDE = "data.augment.size=[64, 96]"


def wmt(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def pretrain_demo(run_dir, *more):
    return wmt("pretrain", "demo", *SHORT, f"run_dir={run_dir}", *more)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    outcome = pretrain_demo(path, WIDE)
    assert outcome.exit_code == 0, outcome.exception
    assert f"report: {path / 'report.html'}" in outcome.output.replace("\n", "")
    return path


@pytest.mark.slow
def test_a_run_leaves_checkpoint_metrics_numbers_and_report(run_dir):
    assert (run_dir / "checkpoints" / "last").read_text().strip() == "step_00000004"
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    (found,) = load_result(run_dir).measurements
    assert found.result.measured_on.startswith("6 clips of")
    assert found.step == 4
    assert "<html" in (run_dir / "report.html").read_text()
    assert any((run_dir / "tensorboard").iterdir())


@pytest.mark.slow
def test_clips_that_are_not_square_are_trained_on_measured_and_drawn(run_dir):
    features = cv2.imread(str(run_dir / "evaluation/latent_prediction/features_00.png"))
    rows, columns = 3, 4  # frames, trained, untrained; tubelets
    assert features.shape == (rows * (64 + GAP) + GAP, columns * (96 + GAP) + GAP, 3)


@pytest.mark.slow
def test_a_finished_run_is_neither_trained_nor_measured_again(run_dir):
    files = [run_dir / "evaluation.json", run_dir / "checkpoints" / "step_00000004" / "meta.json"]
    before = [path.stat().st_mtime_ns for path in files]
    assert pretrain_demo(run_dir, WIDE).exit_code == 0
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.slow
def test_the_directory_of_another_recipe_is_refused_with_the_keys_that_differ(run_dir):
    outcome = pretrain_demo(run_dir, WIDE, "optim.lr.peak=2e-3")
    assert isinstance(outcome.exception, ValueError)
    assert "optim.lr.peak: 0.001 -> 0.002" in str(outcome.exception)


@pytest.mark.slow
def test_a_run_with_rotary_positions_cannot_be_exported_and_the_error_says_why(run_dir, tmp_path):
    outcome = wmt("export", tmp_path / "out", "--from-run", run_dir, "--layout", "meta")
    assert isinstance(outcome.exception, ValueError)
    assert "rope3d_vjepa2" in str(outcome.exception)


@pytest.mark.slow
def test_a_run_is_exported_as_one_file_of_its_own_names(run_dir, tmp_path):
    outcome = wmt("export", tmp_path / "all.safetensors", "--from-run", run_dir)
    assert outcome.exit_code == 0, outcome.exception
    merged = load_file(tmp_path / "all.safetensors")
    assert merged.keys() == load_recipe("demo").method.build().state_dict().keys()
    again = wmt("export", tmp_path / "all.safetensors", "--from-run", run_dir)
    assert "exists; remove it" in str(again.exception)


@pytest.mark.slow
def test_weights_go_out_and_come_back_and_a_run_starts_from_them(tmp_path):
    position = "method.encoder.position.name=rope3d_vjepa2"
    once = ("train.steps=1", position, "evaluation=null")
    assert pretrain_demo(tmp_path / "first", *once).exit_code == 0
    export = ("--from-run", tmp_path / "first", "--layout", "huggingface")
    assert wmt("export", tmp_path / "hf", *export).exit_code == 0
    assert (tmp_path / "hf" / "config.json").is_file()
    imported = wmt("import", "demo", tmp_path / "hf", tmp_path / "in", position)
    assert imported.exit_code == 0, imported.exception
    init = f"train.init={{checkpoint: {tmp_path / 'in'}, optimizer: false}}"
    assert pretrain_demo(tmp_path / "second", *once, init).exit_code == 0


def test_missing_data_and_a_missing_gpu_are_errors_before_anything_is_loaded(monkeypatch, tmp_path):
    monkeypatch.delenv("WMT_DATA", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    outcome = wmt("pretrain", "vjepa2_vitl")
    assert isinstance(outcome.exception, ValueError)
    assert "WMT_DATA" in str(outcome.exception)
    outcome = pretrain_demo(tmp_path, "train.accelerator=gpu")
    assert isinstance(outcome.exception, ValueError)
    assert "sees no GPU" in str(outcome.exception)
    assert not any(tmp_path.iterdir())


def test_a_run_dir_that_cannot_be_written_is_an_error_before_the_weights_are_drawn(tmp_path):
    (tmp_path / "file").write_text("")
    outcome = pretrain_demo(tmp_path / "file" / "run")
    assert isinstance(outcome.exception, ValueError)
    assert str(outcome.exception).startswith(
        f"run_dir={tmp_path / 'file' / 'run'} cannot be written"
    )


def test_an_error_of_a_loading_process_is_shown_without_its_stack_trace():
    text = "Caught X in worker\nOriginal Traceback (most recent call last):\n a\nm.X: bad: b\n"
    assert _message(ValueError(text)) == "bad: b"
    assert _message(ValueError("plain")) == "plain"


@pytest.mark.slow
def test_a_vjepa_trains_on_films_and_every_task_of_held_out_clips_measures_it(tmp_path):
    tasks = (
        "[{name: latent_prediction, max_clips: 6, mask_seeds: [0], picture_clips: 2}, "
        "{name: latent_horizon, max_clips: 6}, {name: held_out_loss, max_samples: 4}, "
        "{name: robustness, max_clips: 6, corruptions: [occlusion]}]"
    )
    films = "{name: data/films, clip: {frames: 8, fps: 8}, size: 32, loader: {workers: 1}}"
    outcome = pretrain_demo(
        tmp_path, f"data={films}", "method.encoder.patch=8", f"evaluation={tasks}"
    )
    assert outcome.exit_code == 0, outcome.exception
    assert [found.task for found in load_result(tmp_path).measurements] == [
        "latent_prediction", "latent_horizon", "held_out_loss", "robustness",
    ]  # fmt: skip
