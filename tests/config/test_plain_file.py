import os

import pytest

from worldmodel_train.config.plain_file import PlainFileError, read_plain


def test_a_file_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"ab\xff")
    assert read_plain(tmp_path / "a", 3) == b"ab\xff"


def test_a_larger_file_is_refused_without_reading_it(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        os.truncate(file.fileno(), 1 << 40)  # sparse
    with pytest.raises(PlainFileError, match=r"a has 1,099,511,627,776 bytes"):
        read_plain(tmp_path / "a", 256)


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name, what in [("pipe", "pipe"), ("device", "device"), ("folder", "folder")]:
        with pytest.raises(PlainFileError, match=what):
            read_plain(tmp_path / name, 256)


def test_what_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "a", 256)
