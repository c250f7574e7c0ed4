import errno
import os
import resource
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldmodel_train.config.sealed_json import sealed, unsealed
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoints import files as checkpoint_files
from worldmodel_train.training.checkpoints.files import Progress, read_meta, verify
from worldmodel_train.training.checkpoints.folder import CheckpointConfig, CheckpointFolder
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.checkpoints.writer import CheckpointWriter
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.ranks.agreement import Agreement

FILES = ["weights-00000.safetensors", "moments-00000.safetensors", "recipe.yaml", "meta.json"]


def begin(folder: CheckpointFolder, step: int, size: int = 6) -> CheckpointWriter:
    """A writer that has begun to save a toy state."""
    values = {
        kind: torch.full((size,), float(step)) for kind in ("weights", "exp_avg", "exp_avg_sq")
    }
    pieces = [
        Piece(kind=kind, name="weight", start=0, values=tensor, replicated=True)
        for kind, tensor in values.items()
    ]
    shapes = {"weight": (size // 2, 2)}
    progress = Progress(
        step=step,
        samples_seen=4 * step,
        optimizer_step=step,
        shapes=shapes,
        watch={"low": 1.5},
        streams={},
    )
    writer = CheckpointWriter(
        folder, Agreement(1.0), rank=0, recipe_yaml="name: a toy of some length\n"
    )
    writer.begin(pieces, progress)
    return writer


def save(folder: CheckpointFolder, step: int, size: int = 6) -> Path:
    return begin(folder, step, size).finish()


def step_of(checkpoint: Path) -> float:
    """The step that the weights say, after all files were verified."""
    weight = read_weights(checkpoint)["weight"]
    assert read_meta(checkpoint).step == weight[0, 0]
    return weight[0, 0].item()


@pytest.fixture
def folder(tmp_path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path)


def test_what_was_saved_comes_back(folder):
    assert folder.last() is None
    path = save(folder, 12)
    assert folder.last() == path
    assert path.name == "step_00000012"
    assert sorted(p.name for p in path.iterdir()) == sorted(FILES)
    assert torch.equal(read_weights(path)["weight"], torch.full((3, 2), 12.0))
    meta = read_meta(path)
    assert (meta.step, meta.samples_seen, meta.optimizer_step) == (12, 48, 12)
    assert meta.watch == {"low": 1.5}
    assert meta.versions["torch"] == torch.__version__
    assert (path / "recipe.yaml").read_text() == "name: a toy of some length\n"


def test_what_is_not_a_number_in_the_guards_memory_comes_back(folder):
    writer = begin(folder, 1)
    writer._writing.progress.watch["low"] = float("inf")
    assert read_meta(writer.finish()).watch == {"low": float("inf")}


def test_the_state_is_copied_before_training_goes_on(folder):
    values = torch.ones(4)
    piece = Piece(kind="weights", name="w", start=0, values=values, replicated=True)
    writer = CheckpointWriter(folder, Agreement(1.0), rank=0, recipe_yaml="")
    shapes = {"w": (4,)}
    progress = Progress(
        step=1, samples_seen=1, optimizer_step=None, shapes=shapes, watch={}, streams={}
    )
    writer.begin([piece], progress)
    assert writer.pending
    values.fill_(2)
    path = writer.finish()
    assert not writer.pending
    assert torch.equal(read_weights(path)["w"], torch.ones(4))


def test_nothing_is_visible_before_all_ranks_have_written(folder):
    writer = begin(folder, 1)
    assert folder.last() is None
    assert folder.steps() == []
    assert writer.finish() == folder.last()


# saving a step that was saved before moves the old one away first, a second rename
@pytest.mark.parametrize(("call", "number"), [("rename", 1), ("rename", 2), ("replace", 1)])
def test_a_crash_at_any_rename_leaves_a_checkpoint_to_load(folder, monkeypatch, call, number):
    save(folder, 1)
    save(folder, 2)
    (folder.path / "last").write_text("step_00000001\n")
    calls = []
    real = getattr(Path, call)

    def crash(self, target):
        calls.append(target)
        if len(calls) == number:
            raise KeyboardInterrupt  # not an OSError: nothing tidies up, as after kill -9
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, call, crash)
        with pytest.raises(KeyboardInterrupt):
            save(folder, 2)
    assert step_of(folder.last()) == 1
    save(folder, 2)
    assert step_of(folder.last()) == 2
    assert sorted(p.name for p in folder.path.iterdir()) == [
        "last", "step_00000001", "step_00000002",
    ]  # fmt: skip


def test_a_crash_between_rename_and_pointer_is_repaired_by_saving_again(folder, monkeypatch):
    save(folder, 1)

    def crash(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            save(folder, 2)
    assert folder.at(2).is_dir()
    assert step_of(folder.last()) == 1
    save(folder, 2)
    assert step_of(folder.last()) == 2


def test_every_file_reaches_the_disk_before_the_rename(folder, monkeypatch):
    order = []
    real_fsync, real_rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), real_fsync(fd)))
    monkeypatch.setattr(
        Path, "rename", lambda self, to: (order.append("rename"), real_rename(self, to))[1]
    )
    save(folder, 1)
    assert order[:6] == ["fsync"] * 5 + ["rename"]  # four files and their folder
    assert order[6] == "fsync"  # the new name, before `last` says it


@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_refused(folder, name, damage):
    path = save(folder, 1) / name
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-3])
    elif damage == "remove":
        path.unlink()
    else:
        content[-20] ^= 1  # in meta.json the last checksum
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is missing|is damaged"):
        verify(folder.last(), read_meta(folder.last()))


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_bit_of_the_meta_data_changes_without_a_word(folder, place, bit):
    path = (folder.last() or save(folder, 3)) / "meta.json"
    whole = path.read_bytes()
    content = bytearray(whole)
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"meta\.json.*damaged"):
        read_meta(folder.last())
    path.write_bytes(whole)


def with_format(content: bytes, number: int) -> bytes:
    return unsealed(content).replace(b'"format": 3', b'"format": %d' % number)


def test_a_checkpoint_of_the_format_before_is_read(folder):
    path = save(folder, 3) / "meta.json"
    path.write_bytes(with_format(path.read_bytes(), 2))
    assert step_of(folder.last()) == 3


def test_a_lost_checksum_another_format_and_a_wrong_value_are_named_without_jargon(folder):
    path = save(folder, 3) / "meta.json"
    whole = path.read_bytes()
    for content, problem in [
        (unsealed(whole), "has lost its checksum"),
        (sealed(with_format(whole, 2).decode()).encode(), "has lost its checksum"),
        (with_format(whole, 4), "format: 4 is not a choice here"),
        (with_format(whole, 2).replace(b'"step": 3', b'"step": "x"'), "step: expected a whole"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"step": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b"\xff\xfe", "not UTF-8"),
    ]:
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            read_meta(folder.last())
        text = str(caught.value)
        assert text.startswith(str(path))
        assert problem in text
        assert "pydantic" not in text


def test_a_full_disk_is_an_error_that_keeps_the_old_checkpoint(folder, monkeypatch):
    save(folder, 1)

    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise checkpoint_files.SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(checkpoint_files, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*untouched"):
        save(folder, 2)
    assert step_of(folder.last()) == 1
    assert sorted(p.name for p in folder.path.iterdir()) == ["last", "step_00000001"]


def test_a_file_that_the_system_refuses_to_let_grow_keeps_the_old_checkpoint(folder):
    save(folder, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"GB are free there.*untouched"):
            save(folder, 2, size=1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert step_of(folder.last()) == 1
    assert sorted(p.name for p in folder.path.iterdir()) == ["last", "step_00000001"]


def test_a_disk_that_fills_up_at_a_flush_is_the_same_error(folder, monkeypatch):
    save(folder, 1)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match="No space left"):
            save(folder, 2)
    assert step_of(folder.last()) == 1


def test_the_newest_and_every_nth_checkpoint_stay(folder):
    config = CheckpointConfig(every_steps=1, keep_last=2, keep_every=4)
    for step in range(1, 11):
        save(folder, step)
        folder.prune(config)
    assert folder.steps() == [4, 8, 9, 10]


def test_a_run_taken_back_to_an_older_checkpoint_keeps_its_own_new_ones(folder):
    for step in (2, 4, 6, 8):
        save(folder, step)
    (folder.path / "last").write_text("step_00000002\n")
    for step in (3, 5):
        save(folder, step)
        folder.prune(CheckpointConfig(every_steps=1, keep_last=2))
    # 4 counts as passed by now; 6 and 8 are left alone until they are
    assert folder.steps() == [4, 5, 6, 8]
    assert step_of(folder.last()) == 5


def test_below_a_file_there_is_no_checkpoint(tmp_path):
    (tmp_path / "file").write_text("")
    assert CheckpointFolder(tmp_path / "file" / "run").last() is None


def test_a_first_save_that_died_before_the_pointer_is_gone_on_from(folder):
    for step in (1, 2):
        save(folder, step)
    (folder.path / "last").unlink()
    assert folder.last() == folder.at(2)


def test_others_may_read_the_weights_as_far_as_the_umask_allows(folder):
    saved = save(folder, 1)
    modes = {path.name: path.stat().st_mode & 0o777 for path in saved.iterdir()}
    assert modes["weights-00000.safetensors"] == modes["meta.json"]


@pytest.mark.parametrize("name", ["step_00000009", "", "/", "../..", "."])
def test_a_pointer_to_nothing_says_what_there_is(folder, name):
    save(folder, 1)
    (folder.path / "last").write_text(name)
    with pytest.raises(CheckpointError, match="there are: step_00000001"):
        folder.last()


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("link", "is a link"),
        ("dangling link", "is a link"),
        ("pipe", "is a pipe"),
        ("folder", "is a folder"),
        ("huge", "more than 256"),
        ("no text", "names .*xff"),
    ],
)
def test_a_pointer_that_is_no_small_file_of_text_is_refused_at_once(folder, kind, problem):
    save(folder, 1)
    pointer = folder.path / "last"
    pointer.unlink()
    if "link" in kind:
        pointer.symlink_to("step_00000001" if kind == "link" else "nowhere")
    elif kind == "pipe":
        os.mkfifo(pointer)
    elif kind == "folder":
        pointer.mkdir()
    elif kind == "huge":
        with pointer.open("wb") as file:
            os.truncate(file.fileno(), 1 << 40)
    else:
        pointer.write_bytes(b"\xff\0")
    with pytest.raises(CheckpointError, match=rf"last.*({problem}).*there are: step_00000001"):
        folder.last()
