"""`wmt eval`, `wmt report`, `wmt compare` on an untrained run's checkpoint."""

import shutil

import pytest
from typer.testing import CliRunner

from tests.cli.small_demo import SMALL
from worldmodel_train.cli.commands import app
from worldmodel_train.cli.evaluation import measure_what_is_new
from worldmodel_train.cli.objectives import untrained_objective
from worldmodel_train.config.yaml_writer import write_yaml
from worldmodel_train.evaluation.result import load_result
from worldmodel_train.recipe import TASKS, load_recipe, resolved_values, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported

LOSS = "{name: held_out_loss, max_samples: 2, seeds: [0]}"


def wmt(*arguments):
    arguments = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def small(run_dir, *more, recipe="demo"):
    return load_recipe(recipe, [*SMALL, f"evaluation=[{LOSS}]", f"run_dir={run_dir}", *more])


def stored(run_dir, recipe_yaml):
    """The run directory, with a checkpoint that has this recipe."""
    weights = untrained_objective(small(run_dir)).state_dict()
    save_imported(CheckpointFolder(run_dir), weights, recipe_yaml)
    return run_dir


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A run directory with a checkpoint of untrained weights."""
    run_dir = tmp_path_factory.mktemp("run")
    return stored(run_dir, resolved_yaml(small(run_dir)))


@pytest.fixture
def run_dir(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "run")


def tasks_of(run_dir):
    return [one.task for one in load_result(run_dir).measurements]


def test_a_run_is_measured_by_its_stored_recipe_and_other_tasks_stay(run_dir):
    outcome = wmt("eval", run_dir)
    assert outcome.exit_code == 0, outcome.exception
    assert tasks_of(run_dir) == ["held_out_loss"]
    latents = ("latent_prediction.max_clips=2", "latent_prediction.mask_seeds=[0]")
    outcome = wmt("eval", run_dir, "--task", "latent_prediction", *latents)
    assert outcome.exit_code == 0, outcome.exception
    assert "explained variance" in outcome.output
    assert tasks_of(run_dir) == ["held_out_loss", "latent_prediction"]
    loss, found = load_result(run_dir).measurements
    assert found.settings["mask_seeds"] == [0]
    assert loss.result.numbers[0].trained == loss.result.numbers[0].baselines["untrained"]
    page = (run_dir / "report.html").read_text()
    assert "Loss on held-out data" in page
    assert "Prediction of hidden latents" in page


def test_what_was_measured_at_this_step_is_not_measured_again(run_dir):
    recipe = small(run_dir)
    measure_what_is_new(recipe)
    written = (run_dir / "evaluation.json").stat().st_mtime_ns
    measure_what_is_new(recipe)
    assert (run_dir / "evaluation.json").stat().st_mtime_ns == written
    measure_what_is_new(small(run_dir, "evaluation.held_out_loss.seeds=[1]"))
    (found,) = load_result(run_dir).measurements
    assert found.settings["seeds"] == [1]


def test_a_damaged_result_does_not_keep_a_finished_run_from_being_measured(run_dir, caplog):
    (run_dir / "evaluation.json").write_text("{")
    assert "remove the file" in str(wmt("eval", run_dir).exception)
    measure_what_is_new(small(run_dir))
    assert tasks_of(run_dir) == ["held_out_loss"]
    assert "measured again" in caplog.text


@pytest.mark.slow
def test_a_run_whose_recipe_is_of_an_older_version_is_measured(tmp_path):
    values = resolved_values(small(tmp_path))
    values["evaluation"] = {"max_clips": 2, "mask_seeds": [0], "probes": None}
    run_dir = stored(tmp_path, write_yaml(values))
    outcome = wmt("eval", run_dir)
    assert outcome.exit_code == 0, outcome.exception
    assert tasks_of(run_dir) == ["latent_prediction"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--task", "held_out_los"),
            'override "--task held_out_los": evaluation.0.name: "held_out_los" is not a choice '
            'here; did you mean "held_out_loss"?',
        ),
        (
            ("--task", "x"),
            'override "--task x": evaluation.0.name: "x" is not a choice here; known: '
            f"{', '.join(sorted(TASKS))}",
        ),
        (
            ("pen_strokes.splits=1",),
            'override "evaluation.pen_strokes.splits=1": evaluation is a list with items 0 to 0 '
            "(held_out_loss), not 'pen_strokes'",
        ),
        (
            ("held_out_loss.seed=1",),
            'override "evaluation.held_out_loss.seed=1": evaluation.0.seed: unknown key; did you '
            'mean "seeds"?',
        ),
    ],
)
def test_what_cannot_be_measured_is_answered_as_it_was_typed(checkpoint, arguments, says):
    assert str(wmt("eval", checkpoint, *arguments).exception) == says


def test_a_recipe_without_tasks_is_told_which_there_are(tmp_path):
    run_dir = stored(tmp_path, resolved_yaml(small(tmp_path, "evaluation=null")))
    outcome = wmt("eval", run_dir)
    assert f"by --task, of: {', '.join(sorted(TASKS))}" in str(outcome.exception)
    outcome = wmt("report", "demo", "evaluation=[]", f"run_dir={run_dir}")
    assert "recipe demo names no task" in str(outcome.exception)


def test_other_shards_are_measured_on_and_noted(run_dir):
    assert wmt("eval", run_dir).exit_code == 0
    shards = "assets:demo/train/shard-000005.tar"
    outcome = wmt("eval", run_dir, "--data", shards)
    assert outcome.exit_code == 0, outcome.exception
    (found,) = load_result(run_dir).measurements
    assert found.settings["data.held_out.shards"] == [shards]
    assert found.result.measured_on.endswith(f" (of {shards})")
    measure_what_is_new(small(run_dir))
    (found,) = load_result(run_dir).measurements
    assert "data.held_out.shards" not in found.settings


@pytest.mark.parametrize(
    ("shards", "says"),
    [
        (["typo/*.tar"], "(from shards: 'typo/*.tar'). Correct the path"),
        (["pipe:cat x"], 'override "--data pipe:cat x": data.held_out.shards: is a stream'),
    ],
)
def test_shards_that_cannot_be_measured_on_are_answered_as_typed(checkpoint, shards, says):
    arguments = [word for one in shards for word in ("--data", one)]
    assert says in str(wmt("eval", checkpoint, *arguments).exception)


def test_an_earlier_checkpoint_leaves_the_results_of_the_last_alone(run_dir):
    assert wmt("eval", run_dir).exit_code == 0
    first = run_dir / "checkpoints" / "step_00000000"
    shutil.copytree(first, run_dir / "checkpoints" / "step_00000005")
    (run_dir / "checkpoints" / "last").write_text("step_00000005")
    before = (run_dir / "evaluation.json").read_bytes()
    outcome = wmt("eval", first)
    assert outcome.exit_code == 0, outcome.exception
    assert (run_dir / "evaluation.json").read_bytes() == before
    assert tasks_of(run_dir / "evaluation" / "step_00000000") == ["held_out_loss"]


@pytest.mark.slow
def test_report_measures_the_recipes_tasks_alone(run_dir):
    assert wmt("eval", run_dir).exit_code == 0
    task = "evaluation=[{name: latent_prediction, max_clips: 2, mask_seeds: [0]}]"
    outcome = wmt("report", "demo", *SMALL, task, f"run_dir={run_dir}")
    assert outcome.exit_code == 0, outcome.exception
    assert tasks_of(run_dir) == ["latent_prediction"]
    assert f"report: {run_dir / 'report.html'}" in outcome.output.replace("\n", "")


def test_what_a_task_found_is_kept_where_a_later_one_fails(run_dir, monkeypatch):
    def fail(*_):
        raise ValueError("no strokes")

    monkeypatch.setattr(TASKS["pen_strokes"], "run", fail)
    outcome = wmt("eval", run_dir, "--task", "held_out_loss", "--task", "pen_strokes")
    assert "no strokes" in str(outcome.exception)
    assert tasks_of(run_dir) == ["held_out_loss"]


def test_nothing_to_measure_is_an_error_that_says_what_to_run(tmp_path):
    outcome = wmt("report", "demo", f"run_dir={tmp_path}")
    assert "run `wmt pretrain demo`" in str(outcome.exception)
    assert "name a run directory such as runs/demo" in str(wmt("eval", tmp_path).exception)
    assert f"measure it with `wmt eval {tmp_path}`" in str(wmt("compare", tmp_path).exception)


def test_runs_of_one_name_are_columns_of_their_own(run_dir, tmp_path):
    assert wmt("eval", run_dir).exit_code == 0
    other = shutil.copytree(run_dir, tmp_path / "elsewhere" / "run")
    outcome = wmt("compare", run_dir, other)
    assert outcome.exit_code == 0, outcome.exception
    assert "2 runs" in outcome.output
    assert str(run_dir)[-20:] in outcome.output
    assert str(other)[-20:] in outcome.output
