"""What `wmt show` prints is YAML itself."""

from worldmodel_train.config.annotate import annotated_yaml
from worldmodel_train.config.origins import FileLine, Override
from worldmodel_train.config.yaml_reader import parse_yaml

VALUES = {
    "name": "x # y",
    "empty": {},
    "lr": {"peak": 1e-4, "text": "1e-4"},
    "items": [{"a": 1, "clip": {"frames": 2}}, {"a": 2, "deep": [{"b": 1}, {"c": [1, 2]}]}],
}


def test_the_annotated_tree_reads_back_equal():
    assert parse_yaml(annotated_yaml(VALUES, {}), file="r.yaml").values == VALUES


def test_each_value_says_where_it_comes_from():
    origins = {("lr", "peak"): FileLine("r.yaml", 7), ("items", 1, "a"): Override("items.1.a=2")}
    lines = annotated_yaml(VALUES, origins).splitlines()
    ends = {line.split("#")[-1].strip(): line for line in lines}
    assert ends["r.yaml:7"].split() == ["peak:", "0.0001", "#", "r.yaml:7"]
    assert ends['override "items.1.a=2"'].strip().startswith("- a: 2")
    assert sum("# default" in line for line in lines) == 7


def test_an_origin_cannot_end_its_comment():
    origins = {("name",): Override("name=x\nevil: 1\x1b")}
    text = annotated_yaml(VALUES, origins)
    assert parse_yaml(text, file="r.yaml").values == VALUES
    assert r"name=x\nevil: 1\x1b" in text
