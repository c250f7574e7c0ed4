from pathlib import Path

import pytest

from worldmodel_train.data.class_list import read_classes
from worldmodel_train.data.packing.classes_file import labels_of, require_room, write_classes
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError


def test_a_recipe_reads_the_classes_that_packing_wrote(tmp_path):
    classes = ("b", "a b", "Gehör", '"quoted", with a comma')
    require_room(tmp_path, classes)
    write_classes(tmp_path, classes)
    assert read_classes(str(tmp_path / "classes.txt")) == classes
    require_room(tmp_path, classes)


def test_other_classes_are_not_written_over(tmp_path):
    (tmp_path / "classes.txt").write_text("precious\n")
    with pytest.raises(PackError, match=r"classes\.txt: holds other classes.*move it away"):
        require_room(tmp_path, ("a",))
    write_classes(tmp_path, ())
    assert (tmp_path / "classes.txt").read_text() == "precious\n"


def test_labels_are_named_once_in_order_without_those_that_are_no_line():
    labels = ["b", "a", "b", None, "two\nlines", " spaces ", "\udce9", ""]
    entries = [Entry(source="x", path=Path("x"), label=label) for label in labels]
    assert labels_of(entries) == ("a", "b")
