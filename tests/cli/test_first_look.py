import json
import subprocess
import sys

import pytest

from worldmodel_train.cli import first_look as module
from worldmodel_train.cli.first_look import STORED, first_look
from worldmodel_train.cli.store_schema import stored_schema
from worldmodel_train.config import RecipeError
from worldmodel_train.recipe import load_recipe
from worldmodel_train.recipe_document import recipe_names

WRONG = {
    "an unknown key": ["train.stesp=3"],
    "an unknown key of the recipe": ["trian={}"],
    "an unknown key of the method": ["method.predictor.widht=3"],
    "two unknown keys": ["optim.beta=1", "data.decoder.nam=pyav"],
    "an unknown key in a list": ["data.sources.0.wieght=1"],
    "an unknown key in a union": ["optim.lr.pek=1"],
    "text for a number": ["train.steps=many"],
    "a fraction for a whole number": ["train.steps=1.5"],
    "a number out of bounds": ["train.steps=0"],
    "a value for a mapping": ["train=3"],
    "a mapping for a value": ["train.steps={}"],
    "a value for a list": ["method.masks=3"],
    "an empty list": ["data.sources=[]"],
    "too short a list": ["optim.betas=[0.9]"],
    "no such choice": ["train.precision=fp12"],
    "no such kind": ["optim.lr={name: warmup}"],
    "a kind without a name": ["optim.lr={}"],
    "no such kind in a list": ["method.masks=[{name: multiblock}]"],
    "what is missing": ["checkpoint={}", "train={steps: 3}"],
    "null for what must be": ["optim=null"],
    "a pattern": ["name=.."],
    "no such method": ["method.name=jepa/vjepaa"],
    "no method": ["method={}"],
    "a key that has moved": ["masks=[]"],
    "no such item": ["data.sources.7.weight=1"],
    "no such task": ["evaluation=[{name: pen_stroke}]"],
    "a task without a name": ["evaluation=[{splits: 1}]"],
    "an unknown key of a task": ["evaluation.pen_strokes.split=1"],
    "a task with a strange name": ["evaluation=[{name: {a: 1}}, 3]"],
    "a value for tasks": ["evaluation=3"],
    "tasks as they were written before": ["evaluation={probes: {}}"],
}


def refused(*arguments):
    """What the first look says, if it says anything."""
    try:
        first_look(*arguments)
    except RecipeError as error:
        return error.problems
    return ()


def said(check, *arguments):
    with pytest.raises(RecipeError) as caught:
        check(*arguments)
    return caught.value.problems


@pytest.mark.parametrize("overrides", WRONG.values(), ids=WRONG.keys())
def test_the_first_look_says_what_the_full_check_says(overrides):
    assert said(first_look, "demo", overrides) == said(load_recipe, "demo", overrides)


def test_it_says_the_same_of_a_recipe_that_is_not_there():
    assert said(first_look, "demmo") == said(load_recipe, "demmo")


@pytest.mark.parametrize("recipe", recipe_names())
def test_it_passes_what_ships(recipe):
    assert refused(recipe) == ()


@pytest.mark.parametrize(
    "override",
    ["train.strategy=ddp", "method.encoder.size=vit_small", "data.sources.0.shards=[a.tar, b.tar]",
     "train.compile=true", "train.init={checkpoint: a, optimizer: true}", "optim.ema=null"],
)  # fmt: skip
def test_it_passes_all_ways_of_writing_a_value(override):
    assert refused("demo", [override]) == ()


def test_the_stored_schema_is_that_of_the_configurations():
    assert STORED.read_text() == stored_schema(), (
        "a file that defines a configuration has changed: run `make schema` and commit "
        f"{STORED.name} (never merge it by hand)"
    )


def test_a_source_that_has_changed_leaves_the_word_to_the_full_check(monkeypatch):
    monkeypatch.setattr(module, "digest", lambda _: "another")
    assert refused("demo", ["train.a_new_key=3"]) == ()


def test_a_method_in_a_new_file_is_left_to_the_full_check():
    # a file that the schema does not know
    assert refused("demo", ["method.name=jepa/mask_misfits"]) == ()


def test_a_task_in_a_new_file_is_left_to_the_full_check(tmp_path, monkeypatch):
    (tmp_path / "evaluation" / "tasks").mkdir(parents=True)
    (tmp_path / "evaluation" / "tasks" / "new.py").touch()
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    monkeypatch.setattr(module, "digest", lambda _: "")
    stored = json.loads(STORED.read_text())
    stored["sources"] = dict.fromkeys(stored["sources"], "")
    (tmp_path / "schema.json").write_text(json.dumps(stored))
    monkeypatch.setattr(module, "STORED", tmp_path / "schema.json")
    assert refused("demo", ["evaluation=[{name: new, key: 3}]"]) == ()
    assert refused("demo", ["evaluation=[{name: old}]"]) != ()


def test_a_wrong_key_is_answered_without_torch():
    code = """
import sys
from worldmodel_train import cli
sys.argv = ["wmt", "pretrain", "demo", "train.stesp=3"]
try:
    cli.main()
finally:
    print("torch" in sys.modules)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "False\n")
    assert 'train.stesp: unknown key; did you mean "steps"?' in ended.stderr
