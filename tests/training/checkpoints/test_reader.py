import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoints.files import Progress, tensors_of, write_tensors
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import CheckpointReader, read_weights
from worldmodel_train.training.layouts.layout import Piece

KINDS = ("weights", "exp_avg", "exp_avg_sq")
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def state(shapes: dict[str, tuple[int, ...]]) -> dict[tuple[str, str], torch.Tensor]:
    """Distinct numbers for every element of every tensor."""
    numbers = torch.arange(1, 1000).float()
    made, used = {}, 0
    for kind in KINDS:
        for name, shape in shapes.items():
            count = torch.Size(shape).numel()
            made[kind, name], used = numbers[used : used + count].clone(), used + count
    return made


def cut(tensors, ranks: int, rank: int) -> list[Piece]:
    """A rank's equal slices of each tensor; the last ranks may have none, and one rank has all."""
    pieces = []
    for (kind, name), values in tensors.items():
        share = -(-values.numel() // ranks)
        own = values[rank * share : (rank + 1) * share]
        if own.numel():
            start = rank * share
            pieces.append(
                Piece(kind=kind, name=name, start=start, values=own, replicated=ranks == 1)
            )
    return pieces


def save(folder: CheckpointFolder, tensors, shapes, ranks: int):
    """A checkpoint that `ranks` ranks have written."""
    progress = Progress(
        step=1, samples_seen=1, optimizer_step=1, shapes=shapes, watch={}, streams={}
    )
    files = {}
    temporary = folder.prepare(1)
    for rank in range(ranks):
        files |= write_tensors(temporary, tensors_of(cut(tensors, ranks, rank), shapes, rank))
    return folder.publish(temporary, progress, "", files)


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(1, 5), st.integers(1, 5))
def test_any_number_of_ranks_reads_what_any_other_has_written(
    tmp_path_factory, numels, writers, readers
):
    shapes = {f"t{i}": (n,) for i, n in enumerate(numels)} | {"matrix": (3, 4), "scalar": ()}
    tensors = state(shapes)
    folder = CheckpointFolder(tmp_path_factory.mktemp("run"))
    checkpoint = save(folder, tensors, shapes, writers)
    found = {key: torch.zeros_like(values) for key, values in tensors.items()}
    for rank in range(readers):
        CheckpointReader(checkpoint).fill(cut(found, readers, rank), rank)
    for key, values in tensors.items():
        assert torch.equal(found[key], values)
    merged = read_weights(checkpoint)
    assert {name: tuple(t.shape) for name, t in merged.items()} == shapes
    for name, tensor in merged.items():
        assert torch.equal(tensor.flatten(), tensors["weights", name])


def test_a_rank_opens_no_file_but_its_own_where_nothing_has_changed(tmp_path):
    shapes = {"a": (10,), "b": (7,)}
    tensors = state(shapes)
    checkpoint = save(CheckpointFolder(tmp_path), tensors, shapes, 3)
    for name in ("weights-00000.safetensors", "weights-00002.safetensors"):
        (checkpoint / name).unlink()
    CheckpointReader(checkpoint).fill(cut(tensors, 3, 1), 1)


def test_what_all_ranks_share_is_in_the_first_ranks_files(tmp_path):
    shapes = {"a": (10,), "shared": (2,)}
    tensors = state(shapes)
    pieces = [
        Piece(kind=kind, name=name, start=0, values=values, replicated=name == "shared")
        for (kind, name), values in tensors.items()
    ]
    folder = CheckpointFolder(tmp_path)
    temporary, files = folder.prepare(1), {}
    for rank in range(3):
        files |= write_tensors(temporary, tensors_of(pieces, shapes, rank))
    progress = Progress(
        step=1, samples_seen=1, optimizer_step=1, shapes=shapes, watch={}, streams={}
    )
    checkpoint = folder.publish(temporary, progress, "", files)
    (checkpoint / "weights-00002.safetensors").unlink()
    found = torch.zeros(2)
    wanted = Piece(kind="weights", name="shared", start=0, values=found, replicated=True)
    CheckpointReader(checkpoint).fill([wanted], 1)
    assert torch.equal(found, tensors["weights", "shared"])


def test_values_that_are_nowhere_are_named(tmp_path):
    shapes = {"a": (10,)}
    checkpoint = save(CheckpointFolder(tmp_path), state(shapes), shapes, 2)
    wanted = Piece(kind="weights", name="z", start=0, values=torch.zeros(4), replicated=False)
    with pytest.raises(CheckpointError, match=r"no values for z\[0:4\]"):
        CheckpointReader(checkpoint).fill([wanted], 0)
