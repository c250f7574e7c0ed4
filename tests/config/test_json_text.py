"""JSON of strangers is read or refused in one line with the file's name."""

import json

import pytest

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.json_text import (
    MAX_DEPTH,
    JsonError,
    parse_json,
    parse_model,
    parse_object,
)


class Shard(StrictConfig):
    name: str
    samples: int = 0
    tags: tuple[str, ...] = ()


HOSTILE = {
    "deep lists": ("[" * 200_000, "nested deeper than 64 levels"),
    "deep and whole": ("[" * 500 + "]" * 500, "nested deeper than 64 levels"),
    "deep objects": ('{"a":' * 200_000, "nested deeper than 64 levels"),
    "endless number": ("1" * 5000, "a whole number of 5000 digits"),
    "infinite float": ("1e999", "1e999 is too large a number"),
    "nan": ('{"a": NaN}', "NaN is not a number in JSON"),
    "infinity": ("[-Infinity]", "-Infinity is not a number in JSON"),
    "twice": ('{"a": 1, "b": 2, "a": 3}', '"a" is written twice'),
    "no utf-8": (b'{"a": "\xff"}', "is not UTF-8 text"),
    "cut": ('{"a": ', "is not JSON (Expecting value, line 1, column 7)"),
    "empty": ("", "is not JSON"),
}


@pytest.mark.parametrize(("text", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_one_line_with_the_file(text, words):
    with pytest.raises(JsonError) as caught:
        parse_json(text, "set/index.json")
    assert str(caught.value).startswith("set/index.json: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    str(caught.value).encode()


def test_plain_json_is_read_unchanged():
    value = {"a": [1, -2.5, True, None, "ü🎥", {"b": []}], "n": 2**64 - 1}
    assert parse_json(json.dumps(value), "f") == value
    assert parse_json(b"\xef\xbb\xbf" + json.dumps(value).encode(), "f") == value


def test_nesting_is_allowed_up_to_the_limit():
    parse_json("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH, "f")
    with pytest.raises(JsonError, match="nested deeper"):
        parse_json("[" * MAX_DEPTH + "[1]" + "]" * MAX_DEPTH, "f")


def test_numbers_of_ours_may_be_nan():
    value = parse_object('{"loss": NaN, "best": Infinity}', "f", allow_nan=True)
    assert value["loss"] != value["loss"]
    assert value["best"] == float("inf")


def test_what_must_be_an_object_says_so():
    with pytest.raises(JsonError, match=r"^f: is not a JSON object"):
        parse_object("[1]", "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "samples": "many"}', 'samples: expected a whole number, got "many"'),
        (r'{"name": "\ud83d"}', r"holds half a character (\ud83d)"),
        ('{"samples": 1}', "name: missing, and it has no default"),
        ('{"name": "a", "nmae": "b"}', 'nmae: unknown key; did you mean "name"?'),
        ('{"name": 7, "samples": [], "tags": 1}', "name: expected text, got 7 (and 2 more)"),
    ],
)
def test_a_model_that_does_not_fit_is_explained_in_our_words(text, message):
    with pytest.raises(JsonError) as caught:
        parse_model(Shard, text, "index.json")
    assert str(caught.value) == f"index.json: {message}"
    assert caught.value.problem == message


def test_a_model_that_fits_is_read():
    shard = parse_model(Shard, b'{"name": "a", "tags": ["x", "y"]}', "f")
    assert shard == Shard(name="a", tags=("x", "y"))


def test_a_place_with_codes_is_shown_harmlessly():
    with pytest.raises(JsonError) as caught:
        parse_json("[", "a\x1b\n\udcff")
    assert str(caught.value).startswith(r"a\x1b\n\xff: ")
