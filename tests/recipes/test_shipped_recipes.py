"""Every shipped recipe can be trusted: it parses, says where it is from and what it costs."""

import re
from pathlib import Path

import pytest

from tests.recipes.stated import (
    EVALUATED,
    FILES,
    FOLDER,
    NAMES,
    OWN,
    RELEASED,
    WITHOUT_BUDGET,
    load,
)
from worldmodel_train.config.origins import FileLine
from worldmodel_train.jepa.masked_cost import MaskedCost
from worldmodel_train.recipe import read_recipe

PROMISED = {
    "demo", "vjepa2_vits", "vjepa2_vitb", "vjepa2_vitl", "vjepa2_vith", "vjepa2_vitg",
    "vjepa2_vitl_cooldown", "vjepa2_vith_cooldown", "vjepa2_vitg_cooldown", "vjepa_vitl",
    "ijepa_vith14", "video_diffusion_tiny", "vjepa2_ac_vitg_droid", "vjepa2_ac_bridge_tiny",
    "pldm_wall", "pldm_two_rooms", "dino_wm_wall", "dino_wm_two_rooms", "vjepa21_vitb",
    "vjepa21_vitl", "vjepa21_vitg", "vjepa21_vitgigantic", "vjepa21_vitl_cooldown",
    "vjepa21_vitg_cooldown", "vjepa21_vitgigantic_cooldown", "vjepa21_films", "vjepa_films",
    "ijepa_vith16_448", "ijepa_vith14_in22k", "ijepa_vitg16", "vjepa_vith", "vjepa_vith_384",
    "vjepa2_vitg384_cooldown",
}  # fmt: skip

OURS = re.compile(r"our own\b")
"""How the source of a recipe begins whose sizes are from nowhere else."""

BUDGET = re.compile(
    r"# Budget \(`wmt show --cost (\w+)`\): ([\d,]+) tokens a clip,\n"
    r"# ([\d,]+) steps of ([\d,]+) clips, ([\d.,]+) GFLOP a clip, ([\d.e+]+) FLOP a run"
)


def number(text):
    return float(text.replace(",", ""))


def test_every_promised_recipe_is_shipped():
    assert set(NAMES) >= PROMISED


@pytest.fixture(params=FILES, ids=NAMES)
def path(request):
    return request.param


def test_it_parses_and_is_named_as_its_file(path):
    assert load(path.stem).name == path.stem


def test_it_begins_with_a_comment_that_says_its_source(path):
    comment = path.read_text().partition("\nname:")[0]
    assert re.match(r"# .+", comment)
    assert re.search(r"^# Source: .+", comment, flags=re.MULTILINE)


def test_its_budget_is_what_the_cost_code_says(path):
    match = BUDGET.search(path.read_text())
    recipe = load(path.stem)
    cost = recipe.method.cost(recipe.facts)
    if not isinstance(cost, MaskedCost):
        assert path.stem not in RELEASED | OWN, "what has a size has a budget"
        assert match is None, f"{path.name} states a budget that nothing compares"
        return
    (length,) = cost.lengths
    gflop = cost.clip.total.total / 1e9
    run_flops = 1e9 * gflop * recipe.train.steps * recipe.train.global_batch
    expected = (
        f"# Budget (`wmt show --cost {recipe.name}`): {length.grid.num_tokens:,} tokens a clip,\n"
        f"# {recipe.train.steps:,} steps of {recipe.train.global_batch:,} clips, "
        f"{gflop:,.{0 if gflop >= 10 else 1}f} GFLOP a clip, {run_flops:.2g} FLOP a run"
    )
    assert match, f"write into {path.name}:\n{expected}"
    assert match[1] == recipe.name
    stated = [number(text) for text in match.groups()[1:]]
    counted = [length.grid.num_tokens, recipe.train.steps, recipe.train.global_batch]
    assert stated[:3] == counted, f"write into {path.name}:\n{expected}"
    assert stated[3:] == pytest.approx([gflop, run_flops], rel=0.05), expected


def test_it_is_our_own_or_its_source_states_its_size(path):
    assert path.stem in RELEASED | EVALUATED | WITHOUT_BUDGET or OURS.match(load(path.stem).source)


@pytest.mark.parametrize("name", RELEASED | OWN | WITHOUT_BUDGET)
def test_its_micro_batch_and_steps_are_those_of_its_source(name):
    stated, train = (RELEASED | OWN | WITHOUT_BUDGET)[name], load(name).train
    assert train.micro_batch == stated.micro_batch
    assert train.global_batch == stated.nodes * stated.gpus * stated.micro_batch
    assert train.steps == stated.epochs * stated.steps_an_epoch


def test_all_of_it_stands_in_shipped_recipes(path):
    origins = read_recipe(str(path)).origins.values()
    files = {Path(origin.file).resolve().parent for origin in origins}
    assert all(isinstance(origin, FileLine) for origin in origins)
    assert files == {FOLDER}


@pytest.mark.parametrize("name", RELEASED | OWN)
def test_reproductions_truncate_as_released_and_our_own_without_bias(name):
    expected = "random" if name in OWN else "late"
    assert {mask.truncate for mask in load(name).method.masks} == {expected}
