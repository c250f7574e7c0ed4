import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.read_list import read_list


def test_the_numbers_are_the_names_of_classes_up_to_the_largest(tmp_path, pack_list, put):
    put(tmp_path, "a.mp4", "b c.mp4", "d e.mp4")
    path = tmp_path / "k400_train.csv"
    path.write_text(f'{tmp_path}/a.mp4 3\n"b c.mp4" 0\n\nd e.mp4::1\ngone.mp4 11\n')
    packed = pack_list("vjepa", path, tmp_path)
    assert packed.labels == {f"{tmp_path}/a.mp4": "3", "b c.mp4": "0", "d e.mp4": "1"}
    assert packed.classes == [str(n) for n in range(12)]
    assert packed.rejects == {"gone.mp4": "missing"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.mp4", "is not a path and a number"),
        ("b c.mp4 1", "put a path with spaces in quotes"),
        ("a.mp4 run", "label='run' is not a whole number"),
        ("a.mp4 -1", "label='-1' is not a whole number"),
        ("a.mp4 1000000000000", "is no number of a class"),
    ],
)
def test_a_line_that_is_wrong_is_named_by_number(tmp_path, line, words):
    path = tmp_path / "list.csv"
    path.write_text(f"ok.mp4 1\n{line}\n")
    with pytest.raises(PackError, match=r"list\.csv: line 2") as error:
        read_list("vjepa", str(path), None)
    assert words in str(error.value)
