"""A recipe builds on one other, two levels at most."""

import pytest

from worldmodel_train.config.errors import RecipeError
from worldmodel_train.config.extends import find_recipe, merge, read_with_parents
from worldmodel_train.config.yaml_reader import parse_yaml


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return tmp_path

    return write


def merged(parent, child):
    return merge(parse_yaml(parent, file="p.yaml"), parse_yaml(child, file="c.yaml"))


def test_mappings_merge_and_keep_the_origin_of_each_value():
    document = merged("a:\n  x: 1\n  y: 2\n", "a:\n  y: 3\n  z: 4\n")
    assert document.values == {"a": {"x": 1, "y": 3, "z": 4}}
    assert str(document.origins[("a", "x")]) == "p.yaml:2"
    assert str(document.origins[("a", "y")]) == "c.yaml:2"


def test_lists_are_replaced_whole():
    document = merged("a: [{x: 1}, {x: 2}, {x: 3}]\n", "a: [{y: 1}]\n")
    assert document.values == {"a": [{"y": 1}]}
    assert ("a", 2) not in document.origins


def test_a_mapping_whose_name_changes_is_replaced_whole():
    document = merged("lr: {name: cosine, start: 1, end: 2}\n", "lr: {name: constant, value: 3}\n")
    assert document.values == {"lr": {"name": "constant", "value": 3}}
    assert ("lr", "end") not in document.origins


def test_a_mapping_that_keeps_its_name_merges():
    document = merged("lr: {name: cosine, start: 1}\n", "lr: {name: cosine, end: 2}\n")
    assert document.values == {"lr": {"name": "cosine", "start": 1, "end": 2}}


def test_the_name_of_the_recipe_itself_replaces_nothing():
    document = merged("name: p\na: 1\n", "name: c\n")
    assert document.values == {"name": "c", "a": 1}


def test_two_levels_are_read(folder):
    root = folder(
        top="name: top\na: 1\nb: 1\n",
        middle="extends: top\nname: middle\nb: 2\n",
        bottom="extends: middle\nname: bottom\nc: 3\n",
    )
    document = read_with_parents(root / "bottom.yaml", [])
    assert document.values == {"name": "bottom", "a": 1, "b": 2, "c": 3}
    assert str(document.origins[("a",)]) == "top.yaml:2"


def test_three_levels_are_refused_with_the_chain(folder):
    root = folder(
        one="name: one\n",
        two="extends: one\nname: two\n",
        three="extends: two\nname: three\n",
        four="extends: three\nname: four\n",
    )
    with pytest.raises(RecipeError, match="more than 2 levels: four -> three -> two -> one"):
        read_with_parents(root / "four.yaml", [])


def test_a_circle_is_refused_with_the_chain(folder):
    root = folder(a="extends: b\nname: a\n", b="name: b\nextends: a\n")
    with pytest.raises(RecipeError) as caught:
        read_with_parents(root / "a.yaml", [])
    assert str(caught.value) == "b.yaml:2: extends: the recipes go in a circle: a -> b -> a"


def test_a_parent_beside_the_file_wins_over_a_shipped_one(folder, tmp_path):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "parent.yaml").write_text("name: parent\na: shipped\n")
    (shipped / "other.yaml").write_text("name: other\na: other\n")
    root = folder(
        parent="name: parent\na: beside\n",
        near="extends: parent\nname: near\n",
        far="extends: other\nname: far\n",
    )
    assert read_with_parents(root / "near.yaml", [shipped]).values["a"] == "beside"
    assert read_with_parents(root / "far.yaml", [shipped]).values["a"] == "other"


@pytest.mark.parametrize("parent", ["[a, b]", "../secret", "/etc/passwd", "a.yaml", "3"])
def test_extends_takes_one_name_and_no_path(folder, parent):
    root = folder(child=f"name: child\nextends: {parent}\n")
    with pytest.raises(RecipeError, match=r"child\.yaml:2: extends: expected the name of one"):
        read_with_parents(root / "child.yaml", [])


def test_an_unknown_parent_is_suggested(folder):
    root = folder(vjepa2_vitl="name: vjepa2_vitl\n", child="name: child\nextends: vjepa2_vit1\n")
    with pytest.raises(RecipeError) as caught:
        read_with_parents(root / "child.yaml", [])
    assert str(caught.value) == (
        'child.yaml:2: extends: no recipe "vjepa2_vit1"; did you mean "vjepa2_vitl"?'
    )


def test_a_child_needs_a_name_of_its_own_or_it_would_write_into_its_parents_run(folder):
    root = folder(parent="name: parent\n", child="extends: parent\n")
    with pytest.raises(RecipeError, match=r"child\.yaml:1: name: a recipe that extends another"):
        read_with_parents(root / "child.yaml", [])


def test_a_recipe_is_found_by_path_or_by_name_in_the_first_folder_that_has_it(folder):
    root = folder(mine="name: mine\n")
    assert find_recipe("mine.yaml", []).name == "mine.yaml"
    assert find_recipe("mine", [root / "absent", root]) == root / "mine.yaml"
    with pytest.raises(RecipeError, match=r"other\.yaml: no such recipe file"):
        find_recipe("other.yaml", [root])
