import os
import tempfile
from contextlib import contextmanager

import pytest

from worldmodel_train.data.decoding.native_log import recording


@contextmanager
def error_channel(kind):
    """Makes file descriptor 2 a file, as a decoding process has it, or a pipe; its other end."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        read, write = os.pipe() if kind == "pipe" else map(os.dup, 2 * [file.fileno()])
        os.dup2(write, 2)
        os.close(write)
        try:
            yield read
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(read)


KINDS = pytest.mark.parametrize("kind", ["file", "pipe"])


@KINDS
def test_what_is_written_to_the_error_channel_is_kept(kind):
    with error_channel(kind), recording() as log:
        os.write(2, b"[h264] error while decoding MB 0 6\n")
    assert log.text == "[h264] error while decoding MB 0 6"


def test_the_channel_is_given_back_also_after_an_error():
    before = os.fstat(2)
    try:
        with recording():
            raise KeyError
    except KeyError:
        pass
    assert (os.fstat(2).st_dev, os.fstat(2).st_ino) == (before.st_dev, before.st_ino)


@KINDS
def test_what_was_written_before_is_not_kept(kind):
    with error_channel(kind):
        os.write(2, b"earlier\n")
        with recording() as log:
            os.write(2, b"now\n")
    assert log.text == "now"


def test_a_log_of_the_shell_cannot_be_read_and_need_not_be(tmp_path):
    (tmp_path / "log").write_text("earlier\n")
    saved, appended = os.dup(2), os.open(tmp_path / "log", os.O_APPEND | os.O_WRONLY)
    os.dup2(appended, 2)
    try:
        with recording() as log:
            os.write(2, b"now\n")
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(appended)
    assert log.text == "now"


def test_a_file_keeps_what_was_said_for_whoever_reads_it_after_a_crash():
    with error_channel("file") as channel, recording():
        os.write(2, b"bad_alloc")
        assert os.pread(channel, 100, 0) == b"bad_alloc"


@KINDS
def test_silence_is_empty(kind):
    with error_channel(kind), recording() as log:
        pass
    assert log.text == ""
