"""A folder's videos, and every place in it that nobody looked into."""

import os
import sys

import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.folder_entries import folder_entries


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def left_out(folder):
    return {e.source: e.left_out for e in folder_entries(folder) if e.left_out is not None}


@pytest.fixture
def folder(tmp_path):
    touch(tmp_path / "in/a.mp4")
    touch(tmp_path / "in/sub/b.mp4")
    return tmp_path / "in"


def test_links_to_folders_and_links_to_nothing_are_named(folder, tmp_path):
    touch(tmp_path / "elsewhere/c.mp4")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "linked.mp4").symlink_to(tmp_path / "elsewhere")
    (folder / "sub/round").symlink_to(folder)
    (folder / "gone.mp4").symlink_to(tmp_path / "nowhere")
    (folder / "gone").symlink_to("gone")
    found = left_out(folder)
    assert sorted(found) == ["gone", "gone.mp4", "linked", "linked.mp4", "sub/round"]
    assert {reason for reason, _ in found.values()} == {"link"}
    assert "leads nowhere" in found["gone.mp4"][1]
    assert "leads to a folder" in found["sub/round"][1]


def test_a_link_to_a_file_is_a_video_like_another(folder, tmp_path):
    (folder / "linked.mp4").symlink_to(touch(tmp_path / "real.mp4"))
    assert [e.source for e in folder_entries(folder)] == ["a.mp4", "linked.mp4", "sub/b.mp4"]
    assert not left_out(folder)


def deny(monkeypatch, denied):
    """Makes listing one folder fail as for a user without the right to; root may list all."""
    original = os.scandir

    def scandir(path):
        if os.fspath(path) == os.fspath(denied):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_is_found(folder, monkeypatch):
    touch(folder / "zz/c.mp4")
    deny(monkeypatch, folder / "sub")
    assert [e.source for e in folder_entries(folder)] == ["a.mp4", "sub", "zz/c.mp4"]
    assert left_out(folder) == {
        "sub": ("unreadable", "the folder cannot be listed (Permission denied)")
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_without_the_right_to_read_is_named(folder):
    (folder / "sub").chmod(0)
    try:
        assert list(left_out(folder)) == ["sub"]
    finally:
        (folder / "sub").chmod(0o755)


def test_a_source_that_cannot_be_listed_at_all_is_an_error(folder, monkeypatch):
    deny(monkeypatch, folder)
    with pytest.raises(PackError, match=r"cannot be listed \(Permission denied\)"):
        folder_entries(folder)


def test_folders_may_be_nested_deeper_than_a_stack(folder):
    deep = [folder / ("d/" * depth) for depth in range(1, sys.getrecursionlimit() + 100)]
    for place in deep:
        place.mkdir()
    assert [e.source for e in folder_entries(folder)] == ["a.mp4", "sub/b.mp4"]
    for place in reversed(deep):  # pytest would clean up by recursion
        place.rmdir()


def test_names_are_kept_byte_for_byte(folder):
    names = [b"\x1b[31m.mp4", b"new\nline.mp4", b"caf\xe9.mp4", b"[bold].mp4"]
    for name in names:
        os.close(os.open(os.fsencode(folder) + b"/" + name, os.O_CREAT))
    found = {os.fsencode(entry.path.name) for entry in folder_entries(folder)}
    assert found == {*names, b"a.mp4", b"b.mp4"}
