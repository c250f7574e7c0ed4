"""Overrides set exactly the value they name."""

import pytest

from worldmodel_train.config.errors import RecipeError
from worldmodel_train.config.origins import Override
from worldmodel_train.config.overrides import apply_overrides
from worldmodel_train.config.yaml_reader import parse_yaml

TEXT = """\
a:
  b: 1
items:
- {w: 0.5, clip: {frames: 16}}
- {w: 0.5}
nothing: null
named: [{name: a, w: 1}, {name: b, w: 2}]
twice: [{name: a, w: 1}, {name: a, w: 2}]
"""


def overridden(*overrides):
    return apply_overrides(parse_yaml(TEXT, file="r.yaml"), overrides)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("a.b=2", ("a", "b"), 2),
        ("a.b=3e-4", ("a", "b"), 3e-4),
        ("a.b=x=y", ("a", "b"), "x=y"),
        ("a.b='2'", ("a", "b"), "2"),
        ("a.b=null", ("a", "b"), None),
        ("a.b=[1, 2]", ("a", "b"), [1, 2]),
        ("a={name: x, v: 1}", ("a",), {"name": "x", "v": 1}),
        ("items.0.w=1", ("items", 0, "w"), 1),
        ("items.1={w: 2}", ("items", 1), {"w": 2}),
        ("items.0.clip.frames=8", ("items", 0, "clip", "frames"), 8),
        ("new.key=1", ("new", "key"), 1),
        ("nothing.key=1", ("nothing", "key"), 1),
        ("named.b.w=3", ("named", 1, "w"), 3),
        ("named.0.w=3", ("named", 0, "w"), 3),
    ],
)
def test_an_override_sets_the_value_and_its_origin(override, path, value):
    document = overridden(override)
    found = document.values
    for part in path:
        found = found[part]
    assert found == value
    assert document.origins[path] == Override(override)


def test_everything_inside_an_overridden_mapping_has_its_origin():
    document = overridden("a={c: {d: 1}}")
    assert document.origins[("a", "c", "d")] == Override("a={c: {d: 1}}")
    assert ("a", "b") not in document.origins


def test_later_overrides_win():
    assert overridden("a.b=2", "a.b=3").values["a"] == {"b": 3}


def test_the_document_itself_stays_as_it_was():
    document = parse_yaml(TEXT, file="r.yaml")
    apply_overrides(document, ["a.b=2", "items.0.w=1"])
    assert document.values["a"] == {"b": 1}
    assert document.values["items"][0]["w"] == 0.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a.b", 'override "a.b": write key.path=value'),
        ("=1", 'override "=1": write key.path=value'),
        ("a..b=1", 'override "a..b=1": write key.path=value'),
        ("a.b=", 'override "a.b=": no value; write null for none'),
        ("a.b.c=1", 'override "a.b.c=1": a.b is a value, not a mapping'),
        ("items.2.w=1", "override \"items.2.w=1\": items is a list with items 0 to 1, not '2'"),
        ("items.-1.w=1", "override \"items.-1.w=1\": items is a list with items 0 to 1, not '-1'"),
        ("items.w=1", "override \"items.w=1\": items is a list with items 0 to 1, not 'w'"),
        (
            "named.c.w=1",
            "override \"named.c.w=1\": named is a list with items 0 to 1 (a, b), not 'c'",
        ),
        (
            "twice.a.w=1",
            "override \"twice.a.w=1\": twice is a list with items 0 to 1 (a, a), not 'a'",
        ),
        ("a.b=!!python/name:os.system", 'override "a.b=!!python/name:os.system":1: tags'),
        ("a.b=[1", 'override "a.b=[1":1: while parsing'),
    ],
)
def test_an_override_that_cannot_be_applied_is_named_as_typed(override, message):
    with pytest.raises(RecipeError) as caught:
        overridden(override)
    assert str(caught.value).startswith(message)


def test_all_bad_overrides_are_reported_at_once():
    with pytest.raises(RecipeError) as caught:
        overridden("a.b", "items.9=1")
    assert len(caught.value.problems) == 2
