import os
import random
import zipfile

import pytest
import torch

from worldmodel_train.interop.torch_file import load
from worldmodel_train.models.strict_state import CheckpointError


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "good.pt"
    torch.save({"encoder": {"weight": torch.arange(6.0).reshape(2, 3)}, "epoch": 3}, path)
    return path


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_tensors_and_plain_values_are_read(saved):
    content = load(saved)
    assert content["epoch"] == 3
    assert torch.equal(content["encoder"]["weight"], torch.arange(6.0).reshape(2, 3))


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"encoder": {}, "extra": Malice(trace)}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="could run code"):
        load(tmp_path / "bad.pt")
    assert not trace.exists()


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path, saved):
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(bomb, "w") as new:
        for entry in old.infolist():
            data = old.read(entry) + bytes(10_000_000 if entry.filename.endswith("/0") else 0)
            new.writestr(entry.filename, data, compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match=r"promises 1000\d+ bytes in a file of"):
        load(bomb)


@pytest.mark.parametrize(("rows", "whole"), [(2, True), (127, False)])
def test_a_shape_that_promises_more_than_its_bytes_is_refused(tmp_path, saved, rows, whole):
    """The archive is written anew with another number of rows in its pickle."""
    lying = tmp_path / "lying.pt"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(lying, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(
                entry.filename, data.replace(b"K\x02K\x03\x86", bytes([75, rows, 75, 3, 0x86]))
            )
    if whole:
        assert load(lying)["epoch"] == 3
    else:
        with pytest.raises(CheckpointError, match="damaged"):
            load(lying)


def outcome(path):
    """What became of reading a file: its dictionary, or the error for its reader."""
    try:
        return load(path)
    except CheckpointError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(40))
def test_wrong_bytes_are_an_error_that_names_the_file_or_harmless(saved, seed):
    generator = random.Random(seed)
    data = bytearray(saved.read_bytes())
    for _ in range(2):
        data[generator.randrange(len(data))] = generator.randrange(256)
    saved.write_bytes(data)
    result = outcome(saved)
    assert isinstance(result, dict) or str(saved) in result


@pytest.mark.parametrize("kept", [0, 10, 300, -100])
def test_a_truncated_file_is_refused(saved, kept):
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="damaged"):
        load(saved)


def test_other_content_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds a list, not a dictionary"):
        load(tmp_path / "list.pt")
