"""Errors name file, line, key, value and remedy, one line each."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from worldmodel_train.config import CombinationError, RecipeError, StrictConfig
from worldmodel_train.config.overrides import apply_overrides
from worldmodel_train.config.read import read_model
from worldmodel_train.config.yaml_reader import parse_yaml


class Constant(StrictConfig):
    name: Literal["constant"] = "constant"
    value: float = Field(ge=0)


class Warmup(StrictConfig):
    name: Literal["warmup"] = "warmup"
    peak: float
    """The highest value."""
    steps: int


class Item(StrictConfig):
    weight: float = Field(gt=0, default=1.0)
    shape: tuple[float, float] = (1.0, 1.0)


class Root(StrictConfig):
    lr: Annotated[Constant | Warmup, Field(discriminator="name")]
    decay: Annotated[Constant | Warmup, Field(discriminator="name")] | None = None
    items: tuple[Item, ...] = ()
    paths: str | tuple[str, ...] = "here"
    device: Literal["cpu", "gpu"] = "cpu"
    stage: Literal[1, 2, 3] = 1
    flag: bool = False
    count: int = 1

    @model_validator(mode="after")
    def _counts_match(self):
        if self.count == 13:
            raise CombinationError([(("count",), "13 brings bad luck"), (("lr",), "too")])
        if self.count == 14:
            raise ValueError("14 is too many; use 12")
        return self


def problems(text, *overrides):
    document = apply_overrides(parse_yaml(text, file="r.yaml"), overrides)
    with pytest.raises(RecipeError) as caught:
        read_model(Root, document)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


GOOD = "lr: {name: constant, value: 1}\n"


def test_a_document_that_fits_becomes_the_model():
    root = read_model(Root, parse_yaml(GOOD + "items: [{shape: [1, 2]}]\n", file="r.yaml"))
    assert root.lr == Constant(value=1.0)
    assert root.items[0].shape == (1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "lr:\n  name: warmup\n  steps: 3\n  peak: 1\n  paek: 2\n",
            'r.yaml:5: lr.paek: unknown key; did you mean "peak"?',
        ),
        (
            "lr: {name: constant, value: 1}\nzzz: 2\n",
            "r.yaml:2: zzz: unknown key; known: count, decay, device, flag, items, lr, "
            "paths, stage",
        ),
        (
            "lr: {name: constant, value: 1, peak: 2}\n",
            "r.yaml:1: lr.peak: unknown key; known: name, value",
        ),
        (
            "lr:\n  name: warmup\n  steps: 3\n",
            "r.yaml:1: lr.peak: missing, and it has no default (The highest value)",
        ),
        ("count: 2\n", "r.yaml:1: lr: missing, and it has no default"),
        (
            "lr: {name: warmpu, peak: 1, steps: 1}\n",
            'r.yaml:1: lr.name: "warmpu" is not a choice here; did you mean "warmup"?',
        ),
        ("lr:\n  peak: 1\n", 'r.yaml:1: lr: needs "name", one of: constant, warmup'),
        (GOOD + "count: many\n", 'r.yaml:2: count: expected a whole number, got "many"'),
        (GOOD + "count: '16'\n", 'r.yaml:2: count: expected a whole number, got "16"'),
        (GOOD + "count: 1.5\n", "r.yaml:2: count: expected a whole number, got 1.5"),
        (GOOD + "count: true\n", "r.yaml:2: count: expected a whole number, got true"),
        (GOOD + "count: null\n", "r.yaml:2: count: expected a whole number, got null"),
        (GOOD + "flag: yes\n", 'r.yaml:2: flag: expected true or false, got "yes"'),
        (GOOD + "flag: 1\n", "r.yaml:2: flag: expected true or false, got 1"),
        (GOOD + "items: {weight: 1}\n", 'r.yaml:2: items: expected a list, got {"weight": 1}'),
        (GOOD + "items: [3]\n", "r.yaml:2: items.0: expected a mapping, got 3"),
        (
            GOOD + "items:\n- weight: 1\n- weight: 0\n",
            "r.yaml:4: items.1.weight: expected greater than 0, got 0",
        ),
        (
            GOOD + "items:\n- {}\n- wieght: 1\n",
            'r.yaml:4: items.1.wieght: unknown key; did you mean "weight"?',
        ),
        (
            GOOD + "items: [{shape: [1, x]}]\n",
            'r.yaml:2: items.0.shape.1: expected a number, got "x"',
        ),
        (
            "lr: {name: constant, value: .nan}\n",
            'r.yaml:1: lr.value: expected a number, got ".nan"',
        ),
        (
            GOOD + "device: Gpu\n",
            'r.yaml:2: device: "Gpu" is not a choice here; did you mean "gpu"?',
        ),
        (GOOD + "stage: 4\n", "r.yaml:2: stage: 4 is not a choice here; known: 1, 2, 3"),
        (GOOD + "device: tpu9\n", 'r.yaml:2: device: "tpu9" is not a choice here; known: cpu, gpu'),
        (
            GOOD + "decay: {name: constant}\n",
            "r.yaml:2: decay.value: missing, and it has no default",
        ),
        (GOOD + "count: 14\n", "r.yaml:1: 14 is too many; use 12"),
    ],
)
def test_one_problem_is_one_line_with_its_place_and_remedy(text, problem):
    assert problems(text) == [problem]


def test_a_key_of_an_override_is_placed_at_the_override():
    assert problems(GOOD, "lr.vlaue=2") == [
        'override "lr.vlaue=2": lr.vlaue: unknown key; did you mean "value"?'
    ]


def test_a_value_of_an_override_is_placed_at_the_override():
    assert problems(GOOD, "lr.value=-1") == [
        'override "lr.value=-1": lr.value: expected greater than or equal to 0, got -1'
    ]


def test_all_problems_are_reported_at_once():
    found = problems("lr: {name: constant, valeu: 1}\ncount: x\nflga: true\nitems: [{weight: 0}]\n")
    assert len(found) == 5


def test_values_that_do_not_fit_together_are_placed_at_their_keys():
    assert problems(GOOD + "count: 13\n") == [
        "r.yaml:2: count: 13 brings bad luck",
        "r.yaml:1: lr: too",
    ]


def test_a_value_of_no_branch_of_a_union_is_reported_for_each_branch():
    assert problems(GOOD + "paths: 5\n") == [
        "r.yaml:2: paths: expected text, got 5",
        "r.yaml:2: paths: expected a list, got 5",
    ]


def test_a_long_value_is_cut():
    (problem,) = problems(GOOD + f"count: {'x' * 500}\n")
    assert problem.endswith("xxx...")
    assert len(problem) < 120


class Words(StrictConfig):
    word: str = Field(pattern="^[a-z]+$", default="x")
    pair: tuple[int, ...] = Field(min_length=2, max_length=3, default=(1, 2))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("word: A1\n", 'r.yaml:1: word: "A1" does not match ^[a-z]+$'),
        ("pair: [1]\n", "r.yaml:1: pair: expected at least 2 items, got 1"),
        ("pair: [1, 2, 3, 4]\n", "r.yaml:1: pair: expected at most 3 items, got 4"),
    ],
)
def test_patterns_and_lengths_are_told_in_our_words(text, problem):
    with pytest.raises(RecipeError) as caught:
        read_model(Words, parse_yaml(text, file="r.yaml"))
    assert caught.value.problems == (problem,)
