"""A kind of class is the first word of its name."""

import pytest

from worldmodel_train.data.class_kinds import class_kinds


def test_kinds_are_found_in_the_order_of_the_list():
    classes = ["verb 3", "verb 5", "noun 3", "action 3 3", "action 3 5", "action 5 3"]
    assert class_kinds(classes) == {
        "verb": slice(0, 2),
        "noun": slice(2, 3),
        "action": slice(3, 6),
    }


def test_a_class_apart_from_its_kind_is_named():
    with pytest.raises(ValueError, match="'verb 5' stands apart from the other classes of the"):
        class_kinds(["verb 3", "noun 3", "verb 5"])
