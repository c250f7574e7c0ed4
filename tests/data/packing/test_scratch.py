"""Scratch folders are told from everything else by the journal's note, never by their names."""

import pytest

from worldmodel_train.data.packing.scratch import NOTE, scratch_folder


def test_the_folder_is_there_while_it_lasts_and_gone_afterwards(tmp_path):
    with scratch_folder(tmp_path) as scratch:
        (scratch / "a.video").write_bytes(b"half")
        assert scratch.parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == [NOTE]


def test_what_a_killed_run_left_goes_and_what_looks_like_it_stays(tmp_path):
    killed = scratch_folder(tmp_path)
    with killed as left:
        (left / "0.video").write_bytes(b"half")
        left.rename(tmp_path / "kept")
    (tmp_path / "kept").rename(left)  # as if the run had been killed
    strangers = [tmp_path / "scratch-0123456789abcdef", tmp_path / "scratch-mine"]
    for stranger in strangers:
        stranger.mkdir()
        (stranger / "precious").touch()
    with scratch_folder(tmp_path) as scratch:
        assert scratch != left
        assert not left.exists()
    assert all((stranger / "precious").exists() for stranger in strangers)


@pytest.mark.parametrize("note", ["../precious\n", "/\n", ".\n", "scratch-..\n", "\xff\n", ""])
def test_a_note_of_nonsense_removes_nothing(tmp_path, note):
    (tmp_path / "precious").mkdir()
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / NOTE).write_text(note)
    with scratch_folder(tmp_path / "journal"):
        pass
    assert (tmp_path / "precious").is_dir()


def test_a_link_in_the_place_of_an_old_folder_is_not_followed(tmp_path):
    with scratch_folder(tmp_path) as left:
        pass
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    left.symlink_to(tmp_path / "precious")
    with scratch_folder(tmp_path):
        pass
    assert (tmp_path / "precious/file").exists()
