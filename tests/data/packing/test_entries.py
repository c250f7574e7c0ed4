import io

import pytest

from worldmodel_train.data.packing.entries import read_entries
from worldmodel_train.data.packing.errors import PackError


def read(path, root=None):
    return read_entries(str(path), root, io.StringIO())


def test_a_folder_is_read_in_sorted_order_with_subfolders_as_labels(tmp_path):
    for name in ("b.mp4", "walk/a.MKV", "notes.txt", ".hidden/c.mp4", ".d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [(e.source, e.label) for e in read(tmp_path)]
    assert found == [("b.mp4", None), ("walk/a.MKV", "walk")]


def test_a_csv_gives_times_in_seconds_and_paths_beside_the_list(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path,label,start,end\na.mp4,x,1:02.5,1:00:00\n/b.mp4,,,\n", "utf-8-sig")
    first, second = read(path)
    assert (first.path, first.label, first.start, first.end) == (
        tmp_path / "a.mp4", "x", 62.5, 3600.0,
    )  # fmt: skip
    assert (str(second.path), second.label, second.is_segment) == ("/b.mp4", None, False)


def test_a_jsonl_gives_the_same_entries_as_a_csv(tmp_path):
    (tmp_path / "a.csv").write_text("path,caption,start,end\nv.mp4,hello,1,2.5\n")
    (tmp_path / "a.jsonl").write_text(
        '{"path": "v.mp4", "caption": "hello", "start": 1, "end": 2.5}\n\n'
    )
    assert read(tmp_path / "a.csv") == read(tmp_path / "a.jsonl")


def test_stdin_names_one_path_a_line_under_the_root(tmp_path):
    entries = read_entries("-", tmp_path, io.StringIO("a b.mp4\n\nc.mp4\n"))
    assert [e.path for e in entries] == [tmp_path / "a b.mp4", tmp_path / "c.mp4"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,lable\na.mp4,x\n", "unknown column 'lable'"),
        ("file\na.mp4\n", "`path` among them"),
        ("path,start,end\na.mp4,3,2\n", "end=2.0 is not after start=3.0"),
        ("path,start\na.mp4,soon\n", "start='soon' is not a time"),
        ("path,start\na.mp4,-1\n", "start='-1' is not a time"),
        ("path,start\na.mp4,1e308\n", "start='1e308' is past the end of any video"),
        ("path,end\na.mp4,1e308:00:00\n", "end='1e308:00:00' is past the end of any video"),
        ("path,label\n,x\n", "has no path"),
        ("path\n", "names no videos"),
        ("path\na,b.mp4\n", "unknown column"),
    ],
)
def test_a_mistake_in_a_list_is_named_with_its_place(tmp_path, content, words):
    path = tmp_path / "list.csv"
    path.write_text(content)
    with pytest.raises(PackError, match=r"list\.csv") as error:
        read(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "line", ["{", "[1]", '{"path": ' + "[" * 100_000, '{"start": 1e999}', "9" * 5000]
)
def test_a_broken_jsonl_line_is_named_by_number(tmp_path, line):
    path = tmp_path / "list.jsonl"
    path.write_text('{"path": "a.mp4"}\n' + line)
    with pytest.raises(PackError, match=r"list\.jsonl:2"):
        read(path)


def test_a_missing_or_empty_source_is_an_error(tmp_path):
    with pytest.raises(PackError, match="no such folder or list"):
        read(tmp_path / "nowhere")
    with pytest.raises(PackError, match="holds no videos"):
        read(tmp_path)
    (tmp_path / "list.txt").touch()
    with pytest.raises(PackError, match=r"\.csv or \.jsonl"):
        read(tmp_path / "list.txt")


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_a_list_in_another_encoding_is_named_with_the_remedy(tmp_path, name):
    path = tmp_path / name
    path.write_bytes('path,label\n{"path": "a.mp4", "label": "Gehör"}\n'.encode("latin-1"))
    with pytest.raises(PackError, match=rf"{name}: is not UTF-8 text.*save it as UTF-8"):
        read(path)


def test_a_list_that_is_no_csv_is_named(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path\n" + "x" * 200_000 + "\n")
    with pytest.raises(PackError, match=r"list\.csv: is not valid CSV"):
        read(path)
