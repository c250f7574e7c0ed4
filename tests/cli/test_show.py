"""`wmt show` prints recipes that can be read back, and costs that can be trusted."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from worldmodel_train.cli import show
from worldmodel_train.cli.gpus import find_gpu
from worldmodel_train.cli.step_cost import cost_of
from worldmodel_train.config import RecipeError
from worldmodel_train.config.yaml_reader import parse_yaml
from worldmodel_train.models.cost import total_flops
from worldmodel_train.recipe import load_recipe, resolved_values
from worldmodel_train.training.gpus import GPUS


@pytest.fixture
def run():
    app = typer.Typer()
    app.command("show")(show.show)
    app.command("schema")(show.schema)

    def invoke(*arguments):
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return invoke


def test_show_prints_the_resolved_recipe_as_yaml(run):
    output = run("show", "vjepa2_vitl_cooldown", "train.seed=3")
    recipe = load_recipe("vjepa2_vitl_cooldown", ["train.seed=3"])
    assert parse_yaml(output, file="shown").values == resolved_values(recipe)


def test_show_says_where_each_value_comes_from(run):
    output = run("show", "vjepa2_vith_cooldown", "train.seed=3")
    comments = {line.split(":")[0].strip(): line.split("# ")[-1] for line in output.splitlines()}
    assert "recipes/vjepa2_vith.yaml:" in comments["size"] or "recipes/vjepa2" in comments["size"]
    assert "recipes/vjepa2_vith_cooldown.yaml:" in comments["steps"]
    assert "recipes/vjepa2_vitl.yaml:" in comments["betas"]
    assert comments["seed"] == 'override "train.seed=3"'
    assert comments["compile"] == "default"


def test_the_run_directory_is_shown_alone_for_scripts(run):
    overrides = ["run_dir=runs/{name}_{seed}", "train.seed=3"]
    assert run("show", "demo", "--run-dir", *overrides) == "runs/demo_3\n"


def test_show_reports_a_typo_in_one_line(run):
    with pytest.raises(RecipeError, match='did you mean "steps"') as caught:
        run("show", "demo", "train.stesp=3")
    assert "\n" not in str(caught.value)


def test_cost_prints_parameters_tokens_and_time(run):
    output = run("show", "--cost", "vjepa2_vitl", "--gpu", "a100")
    assert "303.9 M" in output
    assert "2,048" in output
    assert "A100 (312 TFLOP/s bf16, datasheet)" in output
    assert "240,000 steps x 3,072 clips = 737,280,000 clips" in output


def test_an_unknown_gpu_is_suggested(run):
    with pytest.raises(ValueError, match='"h20" is not in the table; did you mean "h200"'):
        run("show", "--cost", "demo", "--gpu", "h20")


def test_every_gpu_says_whether_it_was_measured():
    assert all(gpu.origin.split(",")[0] in {"measured", "datasheet"} for gpu in GPUS.values())
    assert find_gpu("H200") == GPUS["h200"]


def test_schema_prints_json(run):
    assert json.loads(run("schema"))["title"] == "Recipe"


def test_the_cost_of_a_mixture_is_the_mean_over_its_clips():
    small = ["data.augment.size=64", "train.micro_batch=8"]
    long, short = (
        cost_of(load_recipe("vjepa2_vits", [f"data.sources.0.clip.frames={frames}", *small]))
        for frames in (16, 8)
    )
    source = "{name: %s, shards: x, weight: %s, clip: {frames: %s}}"
    sources = f"[{source % ('a', 3, 16)}, {source % ('b', 0.5, 8)}, {source % ('c', 0.5, 8)}]"
    mixed = cost_of(load_recipe("vjepa2_vits", [f"data.sources={sources}", *small]))
    assert [length.share for length in mixed.lengths] == [0.75, 0.25]
    expected = 0.75 * long.clip.total.total + 0.25 * short.clip.total.total
    assert mixed.clip.total.total == pytest.approx(expected)
    assert total_flops(mixed) == pytest.approx(expected)


def test_mfu_counts_the_mean_clip_without_what_is_computed_twice():
    small = ["data.augment.size=64", "train.micro_batch=8"]
    recipe = load_recipe("vjepa2_vits", small)
    cost = cost_of(recipe).clip
    again = (cost.context.attention + cost.predictor.attention) / 7
    assert cost_of(recipe).model_flops == pytest.approx(cost.total.total - again)
    full = load_recipe("vjepa2_vits", [*small, "train.activation_checkpointing=full"])
    assert cost_of(full).model_flops == cost_of(recipe).model_flops


def test_untruncated_masks_cost_more_than_truncated_ones():
    late, none = (
        cost_of(load_recipe("vjepa2_vitl", [f"method.masks.{i}.truncate={way}" for i in (0, 1)]))
        for way in ("late", "none")
    )
    # a count of ragged batches says 43 % more; padding to the longest of 24 comes on top
    assert 1.43 < none.clip.total.total / late.clip.total.total < 2.0


def test_help_does_not_wait_for_torch():
    code = "import worldmodel_train.cli.show, sys; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"
