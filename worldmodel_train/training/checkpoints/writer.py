"""Writes checkpoints from all ranks, while training goes on."""

import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from worldmodel_train.training.checkpoints.files import (
    ONLINE_PROBE,
    Fingerprint,
    Progress,
    tensors_of,
    write_tensors,
)
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.ranks.agreement import Agreement


@dataclass(frozen=True, kw_only=True)
class _Writing:
    folder: Path
    progress: Progress
    files: Future[dict[str, Fingerprint]]


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What a rank has done, or what went wrong."""

    folder: Path | None = None
    """The new folder, from the rank that made it."""
    files: dict[str, Fingerprint] = field(default_factory=dict)
    problem: str | None = None


class CheckpointWriter:
    """One checkpoint at a time. `begin` and `finish` are called by all ranks together.

    Each rank copies its pieces to the host's memory and writes them in a thread of its own. The
    first rank then makes a checkpoint of the files, when all of them are on the disk.
    """

    def __init__(
        self, folder: CheckpointFolder, agreement: Agreement, *, rank: int, recipe_yaml: str
    ) -> None:
        self._folder = folder
        self._agreement = agreement
        self._rank = rank
        self._recipe_yaml = recipe_yaml
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: _Writing | None = None
        self.begun = 0
        """Checkpoints that have begun; the same on all ranks."""

    @property
    def pending(self) -> bool:
        """Whether a checkpoint has begun that has not been finished; the same on all ranks."""
        return self._writing is not None

    @property
    def written(self) -> int:
        """Checkpoints of which this rank has written its part."""
        is_writing = self._writing is not None and not self._writing.files.done()
        return self.begun - int(is_writing)

    def begin(
        self,
        pieces: Iterable[Piece],
        progress: Progress,
        *,
        online_probe: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """Copies the pieces and starts to write them.

        What the online probe knows is the same on all ranks, so the first one writes it.

        Raises:
            CheckpointError: The disk refuses; on all ranks.
        """
        assert not self.pending, "one checkpoint at a time"
        outcomes = self._agreement.gather(self._prepare(progress.step))
        folder = outcomes[0].folder
        if folder is None:
            raise self._folder.refusal(progress.step, outcomes[0].problem)
        tensors = tensors_of(pieces, progress.shapes, self._rank)
        if online_probe and self._rank == 0:
            # one that is on the host is replaced, and never changed, by the steps that follow
            tensors[ONLINE_PROBE] = {name: value.cpu() for name, value in online_probe.items()}
        written = self._threads.submit(write_tensors, folder, tensors)
        self._writing = _Writing(folder=folder, progress=progress, files=written)
        self.begun += 1

    def finish(self) -> Path:
        """The checkpoint, once every rank has written its part.

        Raises:
            CheckpointError: A disk is full or refuses; on all ranks.
        """
        writing, self._writing = self._writing, None
        assert writing is not None, "nothing has begun"
        parts = self._together(writing, self._written(writing))
        files = {name: found for part in parts for name, found in part.files.items()}
        self._together(writing, self._publish(writing, files))
        return self._folder.at(writing.progress.step)

    def _prepare(self, step: int) -> _Outcome:
        if self._rank != 0:
            return _Outcome()
        try:
            return _Outcome(folder=self._folder.prepare(step))
        except OSError as error:
            return _Outcome(problem=str(error))

    def _written(self, writing: _Writing) -> _Outcome:
        try:
            return _Outcome(files=writing.files.result())
        except OSError as error:
            return _Outcome(problem=f"rank {self._rank}: {error}")

    def _publish(self, writing: _Writing, files: dict[str, Fingerprint]) -> _Outcome:
        if self._rank == 0:
            try:
                self._folder.publish(writing.folder, writing.progress, self._recipe_yaml, files)
            except OSError as error:
                return _Outcome(problem=str(error))
        return _Outcome()

    def _together(self, writing: _Writing, own: _Outcome) -> list[_Outcome]:
        """The outcomes of all ranks; raises the first problem on all of them."""
        outcomes = self._agreement.gather(own)
        for outcome in outcomes:
            if outcome.problem is not None:
                shutil.rmtree(writing.folder, ignore_errors=True)
                raise self._folder.refusal(writing.progress.step, outcome.problem)
        return outcomes
