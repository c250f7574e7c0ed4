"""The memory table of docs/scaling.md is what the command computes."""

from pathlib import Path

import pytest

from worldmodel_train.cli.memory import cost_of, recipe_memory
from worldmodel_train.models.memory import LAYOUTS, Sharding
from worldmodel_train.recipe import load_recipe

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
RECIPES = {"ViT-L": "vjepa2_vitl", "ViT-H": "vjepa2_vith", "ViT-g": "vjepa2_vitg"}


def rows():
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[1] in ("none", "selective", "full"):
            yield cells


@pytest.mark.slow
def test_the_page_has_what_the_command_computes():
    written = list(rows())
    assert len(written) == 9
    for model, policy, *numbers in written:
        recipe = load_recipe(RECIPES[model], [f"train.activation_checkpointing={policy}"])
        layouts = recipe_memory(recipe, 128).layouts
        ddp = Sharding(layout="ddp", world_size=128)
        step = cost_of(recipe).step_memory(policy, ddp, recipe.train.precision)
        kept = step.activations.kept
        computed = [kept, *(layouts[layout].total for layout in LAYOUTS)]
        assert [float(number) for number in numbers] == [round(one / 1e9, 1) for one in computed]
