"""The reader accepts plain YAML only, and says where it stopped."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.config.errors import RecipeError
from worldmodel_train.config.origins import FileLine
from worldmodel_train.config.yaml_reader import MAX_BYTES, parse_value, parse_yaml, read_yaml
from worldmodel_train.config.yaml_writer import write_value, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("5e-4", 5e-4),
        ("1.5e-3", 1.5e-3),
        ("-2E+3", -2000.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("240_000", 240_000),
        ("-7", -7),
        ("0", 0),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("16:9", "16:9"),
        ("2020-01-01", "2020-01-01"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("0x10", "0x10"),
        ("'1'", "1"),
        ("vit_large", "vit_large"),
        ("[1, 2.0]", [1, 2.0]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_scalars_mean_what_they_look_like(text, value):
    read = parse_yaml(f"key: {text}\n", file="r.yaml").values["key"]
    assert read == value
    assert type(read) is type(value)


def test_a_number_of_five_thousand_digits_is_text_and_not_a_crash():
    digits = "9" * 5000
    assert parse_yaml(f"key: {digits}", file="r.yaml").values["key"] == digits


def test_every_key_and_item_knows_its_line():
    document = parse_yaml("# why\na: 1\nb:\n  c: 2\n  d:\n  - x: 3\n  - 4\n", file="r.yaml")
    lines = {path: origin.line for path, origin in document.origins.items()}
    assert lines[("a",)] == 2
    assert lines[("b", "c")] == 4
    assert lines[("b", "d")] == 5
    assert lines[("b", "d", 0)] == lines[("b", "d", 0, "x")] == 6
    assert lines[("b", "d", 1)] == 7


def test_the_origin_of_an_absent_key_is_that_of_the_mapping_around_it():
    document = parse_yaml("a: 1\nb:\n  c: 2\n", file="r.yaml")
    assert document.origin(("b", "missing")) == FileLine("r.yaml", 2)
    assert document.origin(("missing",)) == FileLine("r.yaml", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "r.yaml:4: b.c: written twice; the first is at r.yaml:3"),
        ("a: !!python/object:os.system x\n", "r.yaml:1: tags are not allowed"),
        ("a: 1\nb: !!python/object/apply:os.system ['true']\n", "r.yaml:2: tags are not allowed"),
        ("a: !!int '3'\n", "r.yaml:1: tags are not allowed"),
        ("a: &x [1]\nb: *x\n", "r.yaml:1: anchors and aliases are not allowed"),
        ("a: 1\nb: *x\n", "r.yaml:2: anchors and aliases are not allowed"),
        ("a: 1\nb: [1, }\n", "r.yaml:2: while parsing a flow"),
        ("a: 1\n--- \nb: 2\n", "r.yaml:2: expected a single document"),
        ("- 1\n", "r.yaml:1: a recipe is a mapping"),
        ("", "r.yaml:1: a recipe is a mapping"),
        ("a:\n  1: 2\n", "r.yaml:2: a: a key must be a word"),
        ("a: \x00\n", "r.yaml: not readable as YAML"),
        ("a: " + "[" * 5000 + "\n", "r.yaml:1: nested deeper than 32 levels"),
    ],
)
def test_anything_but_plain_yaml_is_refused_with_its_line(text, message):
    with pytest.raises(RecipeError) as caught:
        parse_yaml(text, file="r.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_alias_bomb_is_refused_before_it_expands():
    bomb = 'a: &a ["x","x"]\n' + "".join(
        f"{name}: &{name} [*{previous}, *{previous}]\n"
        for previous, name in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
    )
    with pytest.raises(RecipeError, match="anchors and aliases"):
        parse_yaml(bomb, file="r.yaml")


def test_all_duplicates_are_reported_at_once():
    with pytest.raises(RecipeError) as caught:
        parse_yaml("a: 1\na: 2\nb: 1\nb: 2\n", file="r.yaml")
    assert len(caught.value.problems) == 2


def test_a_file_larger_than_any_recipe_is_not_read(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_text("a: 1\n" + "#" * MAX_BYTES)
    with pytest.raises(RecipeError, match="larger than 256 KiB"):
        read_yaml(path)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not UTF-8"):
        read_yaml(path)


def test_an_unreadable_file_is_named_with_the_reason(tmp_path):
    with pytest.raises(RecipeError, match=r"missing\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "missing.yaml")


def test_files_below_the_working_directory_are_named_relative_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("a: 1\n")
    assert read_yaml(Path("r.yaml")).origins[("a",)] == FileLine("r.yaml", 1)
    assert read_yaml(tmp_path / "r.yaml").origins[("a",)] == FileLine("r.yaml", 1)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs", "S"]), max_size=20),
    st.sampled_from(["1e-4", "on", "null", "~", "", "0", "1_0", ".5", "- a", "# c", "true", "!!x"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(tree=TREES)
def test_what_is_written_reads_back_equal(tree):
    text = write_yaml({"key": tree})
    assert parse_yaml(text, file="r.yaml").values == {"key": tree}
    assert parse_value(write_value(tree), name="override") == tree


@pytest.mark.parametrize("text", [r'a: {b: "\ud83d"}', r'a: {"b\udcff": 1}', r'a: [1, "\ud83d"]'])
def test_half_characters_are_refused_with_the_line(text):
    with pytest.raises(RecipeError, match=r"^r\.yaml:2: a.*: holds half a character$"):
        parse_yaml("x: 1\n" + text, file="r.yaml")
