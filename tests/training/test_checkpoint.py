import dataclasses
import errno
import json
import os
import pickle
import resource
from pathlib import Path

import pytest
import torch

from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training import checkpoint_files
from worldmodel_train.training.checkpoint import CheckpointConfig, CheckpointFolder
from worldmodel_train.training.checkpoint_files import RunState, read_state

FILES = ["weights.safetensors", "state.pt", "recipe.yaml", "meta.json"]


def state(step: int) -> RunState:
    moments = {"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": [{"lr": 0.1}]}
    weights = {"weight": torch.full((3, 2), float(step))}
    return RunState(
        step=step, samples_seen=4 * step, weights=weights, optimizer=moments, watch={"low": 1}
    )


@pytest.fixture
def folder(tmp_path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path)


def test_what_was_saved_comes_back(folder):
    assert folder.last() is None
    path = folder.save(state(12), "name: toy\n")
    assert folder.last() == path
    assert path.name == "step_00000012"
    assert sorted(p.name for p in path.iterdir()) == sorted(FILES)
    loaded, expected = read_state(path), state(12)
    assert torch.equal(loaded.weights["weight"], expected.weights["weight"])
    assert (loaded.step, loaded.samples_seen) == (12, 48)
    assert loaded.optimizer == expected.optimizer
    assert loaded.watch == {"low": 1}
    assert (path / "recipe.yaml").read_text() == "name: toy\n"
    assert json.loads((path / "meta.json").read_text())["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("call", ["rename", "replace"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_crash_at_any_rename_leaves_a_checkpoint_to_load(folder, monkeypatch, call, number):
    folder.save(state(1), "")
    calls = []
    real = getattr(Path, call)

    def crash(self, target):
        calls.append(target)
        if len(calls) == number:
            raise KeyboardInterrupt  # not an OSError: nothing tidies up, as after kill -9
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, call, crash)
        try:
            folder.save(state(2), "")
        except KeyboardInterrupt:
            assert read_state(folder.last()).step == 1
    folder.save(state(2), "")
    assert read_state(folder.last()).step == 2
    assert sorted(p.name for p in folder.path.iterdir()) == [
        "last", "step_00000001", "step_00000002",
    ]  # fmt: skip


def test_a_crash_between_rename_and_pointer_is_repaired_by_saving_again(folder, monkeypatch):
    folder.save(state(1), "")

    def crash(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            folder.save(state(2), "")
    assert folder.at(2).is_dir()
    assert read_state(folder.last()).step == 1
    folder.save(state(2), "")
    assert read_state(folder.last()).step == 2


def test_every_file_reaches_the_disk_before_the_rename(folder, monkeypatch):
    order = []
    real_fsync, real_rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), real_fsync(fd)))
    monkeypatch.setattr(
        Path, "rename", lambda self, to: (order.append("rename"), real_rename(self, to))[1]
    )
    folder.save(state(1), "")
    assert order[:6] == ["fsync"] * 5 + ["rename"]  # four files and their folder
    assert order[6] == "fsync"  # the new name, before `last` says it


@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_refused(folder, name, damage):
    path = folder.save(state(1), "name: a toy of some length\n") / name
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-3])
    elif damage == "remove":
        path.unlink()
    else:
        content[-20] ^= 1  # in meta.json the last checksum
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is missing|is damaged"):
        read_state(folder.last())


def test_a_full_disk_is_an_error_that_keeps_the_old_checkpoint(folder, monkeypatch):
    folder.save(state(1), "")

    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise checkpoint_files.SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(checkpoint_files, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*untouched"):
        folder.save(state(2), "")
    assert read_state(folder.last()).step == 1
    assert sorted(p.name for p in folder.path.iterdir()) == ["last", "step_00000001"]


def test_a_disk_that_fills_up_while_moments_are_written_is_the_same_error(folder, monkeypatch):
    folder.save(state(1), "")

    def full(value, path):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(checkpoint_files.torch, "save", full)
    with pytest.raises(CheckpointError, match=r"file write failed.*untouched"):
        folder.save(state(2), "")
    assert read_state(folder.last()).step == 1


@pytest.mark.parametrize("big", ["weights", "optimizer"])
def test_a_file_that_the_system_refuses_to_let_grow_keeps_the_old_checkpoint(folder, big):
    folder.save(state(1), "")
    grown = dataclasses.replace(state(2), **{big: {"big": torch.zeros(1_000_000)}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"GB are free there.*untouched"):
            folder.save(grown, "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_state(folder.last()).step == 1
    assert sorted(p.name for p in folder.path.iterdir()) == ["last", "step_00000001"]


def test_a_disk_that_fills_up_at_a_flush_is_the_same_error(folder, monkeypatch):
    folder.save(state(1), "")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match="No space left"):
            folder.save(state(2), "")
    assert read_state(folder.last()).step == 1


def test_the_newest_and_every_nth_checkpoint_stay(folder):
    config = CheckpointConfig(every_steps=1, keep_last=2, keep_every=4)
    for step in range(1, 11):
        folder.save(state(step), "")
        folder.prune(config)
    assert folder.steps() == [4, 8, 9, 10]


def test_a_run_taken_back_to_an_older_checkpoint_keeps_its_own_new_ones(folder):
    for step in (2, 4, 6, 8):
        folder.save(state(step), "")
    (folder.path / "last").write_text("step_00000002\n")
    for step in (3, 5):
        folder.save(state(step), "")
        folder.prune(CheckpointConfig(every_steps=1, keep_last=2))
    # 4 counts as passed by now; 6 and 8 are left alone until they are
    assert folder.steps() == [4, 5, 6, 8]
    assert read_state(folder.last()).step == 5


def test_a_first_save_that_died_before_the_pointer_is_gone_on_from(folder):
    for step in (1, 2):
        folder.save(state(step), "")
    (folder.path / "last").unlink()
    assert folder.last() == folder.at(2)


def test_others_may_read_the_weights_as_far_as_the_umask_allows(folder):
    saved = folder.save(state(1), "")
    modes = {path.name: path.stat().st_mode & 0o777 for path in saved.iterdir()}
    assert modes["weights.safetensors"] == modes["meta.json"]


@pytest.mark.parametrize("name", ["step_00000009", "", "/", "../..", "."])
def test_a_pointer_to_nothing_says_what_there_is(folder, name):
    folder.save(state(1), "")
    (folder.path / "last").write_text(name)
    with pytest.raises(CheckpointError, match="there are: step_00000001"):
        folder.last()


def test_a_pickle_in_the_state_is_not_run(folder):
    class Malicious:
        def __reduce__(self):
            return (Path.touch, (folder.path / "owned",))

    path = folder.save(state(1), "")
    torch.save({"optimizer": Malicious(), "watch": {}}, path / "state.pt")
    meta = json.loads((path / "meta.json").read_text())
    meta["files"]["state.pt"] = checkpoint_files._fingerprint(path / "state.pt").model_dump()
    (path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        read_state(path)
    assert not (folder.path / "owned").exists()
