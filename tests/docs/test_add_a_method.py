"""The tutorial's files work as they stand there: they train and pass their test."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from worldmodel_train import jepa, recipe
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.training.run import pretrain

PAGE = Path(__file__).parents[2] / "docs" / "add_a_method.md"
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
METHOD = "worldmodel_train/jepa/next_tubelet.py"
RECIPE = "recipes/next_tubelet_tiny.yaml"
TEST = "tests/jepa/test_next_tubelet.py"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The page's files below a folder whose jepa/ is read as if it were the package's."""
    for name, text in BLOCK.findall(PAGE.read_text()):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    folder = (tmp_path / METHOD).parent
    family = ModuleType(jepa.__name__)
    family.__file__ = str(folder / "__init__.py")
    monkeypatch.setattr(jepa, "__path__", [*jepa.__path__, str(folder)])
    monkeypatch.setattr(recipe, "FAMILIES", (family,))
    yield tmp_path
    sys.modules.pop("worldmodel_train.jepa.next_tubelet", None)


def test_it_has_a_method_a_recipe_and_a_test():
    assert [name for name, _ in BLOCK.findall(PAGE.read_text())] == [METHOD, RECIPE, TEST]


@pytest.mark.slow
def test_the_recipe_trains(written):
    overrides = [f"run_dir={written / 'run'}", "data.loader.workers=0"]
    loaded = recipe.load_recipe(written / RECIPE, overrides)
    assert pretrain(pretrain_parts(loaded, "never")).exit_code == 0
    lines = (written / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == loaded.train.steps
    assert losses[-1] < losses[0]


def test_the_test_passes(written):
    scope = {}
    exec(compile((written / TEST).read_text(), TEST, "exec"), scope)
    tests = [function for name, function in scope.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("data.sources.0.clip.frames=2", "there is nothing before the last tubelet; use 4"),
        ("data.augment.size=100", "100 is not a multiple"),
    ],
)
def test_what_does_not_fit_it_is_refused(written, override, says):
    with pytest.raises(ValueError, match=says):
        recipe.load_recipe(written / RECIPE, [override, "data.held_out=null"])
