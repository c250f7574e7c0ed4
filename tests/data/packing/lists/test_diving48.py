import json

import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.read_list import read_list

VOCABULARY = [["Back", "15som", "05Twis", "FREE"], ["Inward", "25som", "NoTwis", "TUCK"]]


def dive(name, label):
    return {"vid_name": name, "label": label, "start_frame": 0, "end_frame": 48}


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps(VOCABULARY))
    path = tmp_path / "Diving48_V2_train.json"
    path.write_text(json.dumps([dive("-mm_01", 1), dive("x_02", 0), dive("gone", 0)]))
    return path


def test_a_class_is_the_dive_that_the_vocabulary_has_at_its_number(lists, pack_list, put):
    root = lists.parent / "rgb"
    put(root, "-mm_01.mp4", "x_02.mp4")
    packed = pack_list("diving48", lists, root)
    dives = ["Back 15som 05Twis FREE", "Inward 25som NoTwis TUCK"]
    assert packed.labels == {"-mm_01.mp4": dives[1], "x_02.mp4": dives[0]}
    assert packed.classes == dives
    assert packed.rejects == {"gone.mp4": "missing"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("Diving48_V2_train.json", json.dumps([dive("a", 2)]), "label 2 of a is not in"),
        ("Diving48_V2_train.json", json.dumps([dive("a", 0.5)]), "no 'label' that is a whole"),
        ("Diving48_V2_train.json", json.dumps([dive("a", "0")]), "no 'label' that is a whole"),
        ("Diving48_vocab.json", '["Back"]', "is not a list of dives"),
        ("Diving48_vocab.json", '[["a"], ["a"]]', "is not a list of dives"),
        ("Diving48_vocab.json", '{"a": 0}', "is not a list of dives"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong(lists, put, name, content, words):
    put(lists.parent, "a.mp4")
    (lists.parent / name).write_text(content)
    with pytest.raises(PackError) as error:
        read_list("diving48", str(lists), None)
    assert str(error.value).startswith(str(lists.parent / name))
    assert words in str(error.value)
