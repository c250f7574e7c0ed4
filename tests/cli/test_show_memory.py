"""`wmt show --memory` adds up, fits what it says fits, and names what to change."""

import itertools
import re

import pytest
import typer
from typer.testing import CliRunner

from worldmodel_train.cli import show
from worldmodel_train.cli.memory import recipe_memory
from worldmodel_train.cli.memory_table import advice
from worldmodel_train.cli.step_cost import cost_of
from worldmodel_train.models.checkpointing import POLICIES, MixedCheckpointing
from worldmodel_train.models.memory import LAYOUTS, Sharding
from worldmodel_train.recipe import load_recipe


@pytest.fixture
def run(monkeypatch):
    app = typer.Typer()
    app.command("show")(show.show)

    def invoke(*arguments, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        result = CliRunner().invoke(app, ["--memory", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return invoke


def cells(output: str, row: str) -> list[str]:
    (line,) = [line for line in output.splitlines() if row in line]
    return [cell.strip() for cell in line.split("│")[2:-1]]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_parts_add_up_to_the_total_in_every_column(run, columns):
    output = run("vjepa2_vitl", "--gpus", "128", "--gpu", "h100", columns=columns)
    rows = [line.split("│")[2:-1] for line in output.splitlines() if line.startswith("│")]
    numbers = [
        [float(cell.strip().replace("-", "0")) for cell in row]
        for row in rows
        if all(re.fullmatch(r"-|[\d.]+", cell.strip()) for cell in row)
    ]
    *parts, totals = numbers
    for column, total in zip(zip(*parts, strict=True), totals, strict=True):
        assert sum(column) == pytest.approx(total, abs=0.06)  # each is rounded to 0.01
    assert "…" not in output


def test_what_fits_is_recommended_with_the_least_communication(run):
    output = run("vjepa2_vitg", "--gpus", "128", "--gpu", "h100")
    assert cells(output, "fits H100") == ["tight", "yes", "yes", "yes"]
    assert "Use train.strategy={name: deepspeed, zero_stage: 1}: 61.40" in output


@pytest.mark.slow
def test_what_does_not_fit_is_told_what_to_change():
    recipe = load_recipe("vjepa2_vitg")
    memory = recipe_memory(recipe, 128)
    assert memory.fitting(24e9) is None
    line = advice(recipe, memory, "rtx4090")
    assert "train.activation_checkpointing=full and train.strategy={name: deepspeed" in line


def test_nothing_helps_where_the_weights_alone_are_too_large():
    changes = ["method.encoder.size={width: 8192, depth: 48, heads: 64}", "train.micro_batch=3"]
    recipe = load_recipe("vjepa2_vitg", changes)
    assert "Nothing fits" in advice(recipe, recipe_memory(recipe, 1), "rtx4090")


def test_one_gpu_is_called_single(run):
    output = run("demo", "--gpus", "1")
    assert "MB at the worst moment" in output
    assert "Use train.strategy=single" in output


@pytest.mark.slow
def test_an_fp32_recipe_is_shown_in_bf16_as_well(run):
    output = run("demo", "train.micro_batch=16", "--gpus", "2")
    assert "2 GPUs, fp32, 1 micro-batch a step" in output
    assert "2 GPUs, bf16, 1 micro-batch a step" in output


def test_gradients_are_added_up_in_fp32_where_there_are_several_micro_batches():
    recipe = load_recipe("vjepa2_vitl")
    once, often = recipe_memory(recipe, 128), recipe_memory(recipe, 64)
    assert (once.accumulation, often.accumulation) == (1, 2)
    gradients = [memory.layouts["zero1"].parts["gradients"] for memory in (once, often)]
    assert gradients[1] == (4 + 2) / 2 * gradients[0]


def test_gpus_that_cannot_share_the_batch_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"or train\.micro_batch=3"):
        recipe_memory(load_recipe("vjepa2_vitl"), 1024)


def test_the_longest_clips_of_a_mixture_count():
    source = "{name: %s, shards: x, weight: 1, clip: {frames: %s}}"
    sources = f"data.sources=[{source % ('a', 4)}, {source % ('b', 8)}]"
    recipe = load_recipe("demo", [sources])
    tokens = max(length.grid.num_tokens for length in cost_of(recipe).lengths)
    single = Sharding(layout="ddp", world_size=1)
    clips = cost_of(recipe).memory("none", single, "fp32").parts["clips"]
    assert clips == recipe.train.micro_batch * tokens * 3 * 2 * 16**2


def test_every_layout_is_shown():
    assert tuple(recipe_memory(load_recipe("demo"), 1).layouts) == LAYOUTS


def test_a_recipe_that_offloads_leaves_the_optimizer_to_the_host():
    strategy = "train.strategy={name: deepspeed, zero_stage: 2, offload: cpu}"
    layouts = recipe_memory(load_recipe("vjepa2_vitl", [strategy]), 128).layouts
    held = {
        name: memory.parts["optimizer (moments, masters)"]
        + memory.parts["target encoder, fp32 shard"]
        for name, memory in layouts.items()
    }
    assert held["ddp"] > 0
    assert held["zero1"] == held["zero2"] == held["zero3"] == 0


AUTO = "train.activation_checkpointing=auto"


@pytest.mark.slow
def test_the_table_says_what_auto_would_choose_under_each_layout(run):
    output = run("vjepa2_vitg", "--gpus", "128", "--gpu", "h100")
    assert cells(output, "checkpointing by auto") == ["selective", "none", "none", "none"]
    assert cells(output, " for ") == ["for 28 %", "", "", ""]
    output = run("vjepa2_vitg", "--gpus", "128", "--gpu", "rtx4090")
    assert cells(output, "checkpointing by auto") == ["-", "full", "full", "full"]


def test_the_numbers_of_a_recipe_that_says_auto_are_those_of_the_choice():
    shown = recipe_memory(load_recipe("vjepa2_vitg", [AUTO]), 128, gpu_bytes=80e9)
    assert shown.auto["ddp"] != shown.auto["zero1"] == "none"
    estimate = cost_of(load_recipe("vjepa2_vitg")).memory
    for layout, plan in shown.auto.items():
        expected = estimate(plan, Sharding(layout=layout, world_size=128), "bf16")
        assert shown.layouts[layout] == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_share_of_blocks_that_compute_more_again_needs_less_down_to_all_of_them(layout):
    estimate = cost_of(load_recipe("vjepa2_vitg")).memory
    sharding = Sharding(layout=layout, world_size=128)
    for lighter, heavier in itertools.pairwise(POLICIES):
        shares = [
            MixedCheckpointing(lighter=lighter, heavier=heavier, percent=percent)
            for percent in range(1, 100, 7)
        ]
        needs = [estimate(plan, sharding, "bf16").total for plan in (*shares, heavier)]
        assert needs == sorted(needs, reverse=True)
        assert needs[0] <= 1.05 * estimate(lighter, sharding, "bf16").total


@pytest.mark.slow
def test_a_recipe_that_says_auto_is_advised_a_smaller_micro_batch_and_no_policy():
    recipe = load_recipe("vjepa2_vitg", [AUTO])
    line = advice(recipe, recipe_memory(recipe, 1, gpu_bytes=24e9), "rtx4090")
    assert "activation_checkpointing" not in line
