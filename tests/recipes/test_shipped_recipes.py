"""Every shipped recipe can be trusted: it parses, says where it is from and what it costs."""

import re
from pathlib import Path

import pytest

from worldmodel_train.cli.cost import recipe_cost
from worldmodel_train.config.origins import FileLine
from worldmodel_train.recipe import load_recipe, read_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
FILES = sorted(FOLDER.glob("*.yaml"))
NAMES = [path.stem for path in FILES]

PROMISED = {
    "demo", "vjepa2_vits", "vjepa2_vitb", "vjepa2_vitl", "vjepa2_vith", "vjepa2_vitg",
    "vjepa2_vitl_cooldown", "vjepa2_vith_cooldown", "vjepa2_vitg_cooldown", "vjepa_vitl",
    "ijepa_vith14",
}  # fmt: skip

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
    assert load_recipe(str(path)).name == path.stem


def test_it_begins_with_a_comment_that_says_its_source(path):
    comment = path.read_text().partition("\nname:")[0]
    assert re.match(r"# .+", comment)
    assert re.search(r"^# Source: .+", comment, flags=re.MULTILINE)


def test_its_budget_is_what_the_cost_code_says(path):
    match = BUDGET.search(path.read_text())
    recipe = load_recipe(str(path))
    cost = recipe_cost(recipe)
    (length,) = cost.lengths
    gflop = cost.clip.total.total / 1e9
    expected = (
        f"# Budget (`wmt show --cost {recipe.name}`): {length.grid.num_tokens:,} tokens a clip,\n"
        f"# {recipe.train.steps:,} steps of {recipe.train.global_batch:,} clips, "
        f"{gflop:,.{0 if gflop >= 10 else 1}f} GFLOP a clip, {cost.run_flops:.2g} FLOP a run"
    )
    assert match, f"write into {path.name}:\n{expected}"
    assert match[1] == recipe.name
    stated = [number(text) for text in match.groups()[1:]]
    counted = [length.grid.num_tokens, recipe.train.steps, recipe.train.global_batch]
    assert stated[:3] == counted, f"write into {path.name}:\n{expected}"
    assert stated[3:] == pytest.approx([gflop, cost.run_flops], rel=0.05), expected


def test_all_of_it_stands_in_shipped_recipes(path):
    origins = read_recipe(str(path)).origins.values()
    files = {Path(origin.file).resolve().parent for origin in origins}
    assert all(isinstance(origin, FileLine) for origin in origins)
    assert files == {FOLDER}


@pytest.mark.parametrize("size", ["l", "h", "g"])
def test_a_cooldown_changes_clips_length_and_learning_rate_only(size):
    parent, child = load_recipe(f"vjepa2_vit{size}"), load_recipe(f"vjepa2_vit{size}_cooldown")
    assert child.method == parent.method
    assert child.masks == parent.masks
    assert child.optim.model_copy(update={"lr": parent.optim.lr}) == parent.optim
    assert {source.clip.frames for source in child.data.sources} == {64}
    assert child.train.init is not None
    assert child.train.init.optimizer
    assert child.train.init.checkpoint == parent.run_path


def test_the_cooldown_ends_where_the_released_schedule_ends():
    recipe = load_recipe("vjepa2_vitl_cooldown")
    start, end = (recipe.optim.lr.at(step, recipe.train.steps) for step in (0, recipe.train.steps))
    assert start == pytest.approx(5.25e-4)
    assert end == pytest.approx(1.06e-4, rel=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_reproductions_truncate_as_released_and_our_own_without_bias(name):
    own = name in {"demo", "vjepa2_vits", "vjepa2_vitb"}
    expected = "random" if own else "late"
    assert {mask.truncate for mask in load_recipe(name).masks} == {expected}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("vjepa2")])
def test_our_own_training_uses_the_correct_rotation(name):
    assert load_recipe(name).method.encoder.position.name == "rope3d"


def test_the_numbers_of_vjepa2_are_the_published_ones():
    recipe = load_recipe("vjepa2_vitg")
    assert recipe.train.global_batch == 3072
    assert recipe.train.steps == 240_000
    assert recipe.optim.betas == (0.9, 0.999)
    assert recipe.optim.eps == 1e-8
    assert recipe.optim.clip_grad_norm is None
    lr = recipe.optim.lr
    assert (lr.start, lr.peak, lr.warmup_steps) == (1e-4, 5.25e-4, 12_000)
    assert (recipe.optim.ema.value, recipe.optim.weight_decay.value) == (0.99925, 0.04)
    assert [source.weight for source in recipe.data.sources] == [0.335, 0.1, 0.565]
