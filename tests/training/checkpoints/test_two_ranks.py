"""What goes wrong on one of two ranks is an error on both."""

import errno
import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from worldmodel_train.training.checkpoints import writer as writer_module
from worldmodel_train.training.checkpoints.files import Progress
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.restore import StoredState, agree_to_begin
from worldmodel_train.training.checkpoints.writer import CheckpointWriter
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.ranks.agreement import Agreement

# Python 3.12 and later warn of forks beside threads
pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def on_two_ranks(work: Callable[[int], str]) -> list[str]:
    """What `work` returns on each rank, or the error that it raised."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def rank_process(rank: int) -> None:
        dist.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
        )
        try:
            answers.put((rank, work(rank)))
        except ValueError as error:
            answers.put((rank, str(error)))

    ranks = [context.Process(target=rank_process, args=(rank,)) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    found = dict(answers.get(timeout=60) for _ in ranks)
    for rank in ranks:
        rank.join(timeout=60)
    return [found[0], found[1]]


def save(run_dir: Path, step: int, rank: int) -> Path:
    agreement = Agreement(30.0)
    writer = CheckpointWriter(CheckpointFolder(run_dir), agreement, rank=rank, recipe_yaml="")
    values = torch.full((3,), float(step))
    pieces = [Piece(kind="weights", name="w", start=3 * rank, values=values, replicated=False)]
    progress = Progress(
        step=step, samples_seen=0, optimizer_step=None, shapes={"w": (6,)}, watch={}, streams={}
    )
    writer.begin(pieces, progress)
    return writer.finish()


def test_a_disk_that_is_full_on_one_rank_is_an_error_on_both_and_keeps_the_old_one(tmp_path):
    def work(rank: int) -> str:
        save(tmp_path, 1, rank)
        if rank == 1:

            def full(folder: Path, files: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            writer_module.write_tensors = full
        return save(tmp_path, 2, rank).name

    for answer in on_two_ranks(work):
        assert "could not save step 2" in answer
        assert "rank 1: [Errno 28] No space left on device" in answer
    folder = CheckpointFolder(tmp_path)
    assert folder.last() == folder.at(1)
    assert sorted(path.name for path in folder.path.iterdir()) == ["last", "step_00000001"]


def test_a_folder_that_the_first_rank_cannot_make_is_an_error_on_both(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    answers = on_two_ranks(lambda rank: save(tmp_path, 1, rank).name)
    assert all("could not save step 1" in answer for answer in answers)


def test_ranks_that_would_begin_from_different_checkpoints_do_not(tmp_path):
    def work(rank: int) -> str:
        for step in (2, 4):
            save(tmp_path, step, rank)
        mine = CheckpointFolder(tmp_path).at(2 if rank else 4)
        stored = StoredState(mine, {"w": (6,)}, moments=False)
        agree_to_begin(stored.identity, {}, Agreement(30.0))
        return "began"

    for answer in on_two_ranks(work):
        assert "rank 0 begins from" in answer
        assert "step_00000004, but rank 1 from" in answer


def test_a_damaged_file_is_heard_of_by_the_rank_that_did_not_read_it(tmp_path):
    def work(rank: int) -> str:
        path = save(tmp_path, 2, rank)
        stored = StoredState(path, {"w": (6,)}, moments=False)
        agreement = Agreement(30.0)
        agreement.gather(None)
        if rank == 1:
            (path / "weights-00001.safetensors").write_bytes(b"rubbish")
        agreement.gather(None)
        stored.fill(NoLayout(), agreement)
        return "filled"

    for answer in on_two_ranks(work):
        assert "weights-00001.safetensors" in answer
        assert "there are: step_00000002" in answer


class NoLayout:
    """A layout of nothing: the files alone are looked at."""

    moments = None

    def pieces(self) -> list[Piece]:
        return []

    def publish(self) -> None:
        raise AssertionError("published what is damaged")

    update_teachers = clip_gradients = gradient_norm = watch_parts = part_norms = publish
