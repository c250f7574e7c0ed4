import json

import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.read_list import read_list

ROWS = [
    {"id": "78687", "label": "holding a cup next to a jar", "placeholders": ["a cup", "a jar"],
     "template": "Holding [something] next to [something]"},
    {"id": "3", "label": "book falling like a feather", "placeholders": ["book"],
     "template": "[Something] falling like a feather"},
    {"id": "4", "label": "book falling like a feather", "placeholders": ["book"],
     "template": "[Something] falling like a feather"},
]  # fmt: skip
NAMES = ["Something falling like a feather", *(f"Class {n}" for n in range(1, 10))]
NAMES += ["Holding something next to something"]


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    # in another order than that of the numbers
    numbers = {name: str(n) for n, name in sorted(enumerate(NAMES), key=lambda pair: pair[1])}
    (folder / "labels.json").write_text(json.dumps(numbers))
    (folder / "train.json").write_text(json.dumps(ROWS))
    return folder


def test_a_class_is_the_template_without_brackets_in_the_order_of_numbers(
    tmp_path, labels, pack_list, put
):
    put(tmp_path / "videos", "78687.webm", "3.mp4")
    packed = pack_list("ssv2", labels / "train.json", tmp_path / "videos", "--short-side", "32")
    assert packed.labels == {"78687.webm": NAMES[10], "3.mp4": NAMES[0]}
    assert packed.classes == NAMES
    assert packed.rejects == {"4.webm": "missing"}


def test_old_names_of_the_files_do_as_well(labels, put):
    put(labels, "3.webm")
    for name in ("labels", "train"):
        (labels / f"{name}.json").rename(labels / f"something-something-v2-{name}.json")
    listed = read_list("ssv2", str(labels / "something-something-v2-train.json"), None)
    assert len(listed.entries) == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train.json", '[{"id": "1420"}]', "entry 1 has no 'template' that is text"),
        ("train.json", "[1]", "entry 1 has no 'id'"),
        ("train.json", '[{"id": "1", "template": "[X]"}]', "template '[X]' of video 1 is no class"),
        ("train.json", "{}", "is not a JSON list"),
        ("train.json", "[", "is not JSON"),
        ("labels.json", '{"a": "0", "b": "2"}', "numbers from 0"),
        ("labels.json", "[]", "numbers from 0"),
        ("labels.json", None, "has no labels.json or something-something-v2-labels.json"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong(labels, put, name, content, words):
    put(labels, "3.webm")
    if content is None:
        (labels / name).unlink()
    else:
        (labels / name).write_text(content)
    with pytest.raises(PackError) as error:
        read_list("ssv2", str(labels / "train.json"), None)
    assert str(error.value).startswith(str(labels))
    assert words in str(error.value)
