"""Checkpoints of a run: directories that are whole or not there at all.

    run_dir/checkpoints/step_00001234/   the files of all ranks, recipe.yaml, meta.json
    run_dir/checkpoints/last             the name of the newest one

A checkpoint is written beside its place, by all ranks, flushed to the disk, renamed, and only then
does `last` point to it. A crash at any instant leaves the old `last` loadable.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import PositiveInt

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.plain_file import PlainFileError, read_plain
from worldmodel_train.data.atomic_file import sync_folder
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoints.files import (
    META,
    Fingerprint,
    Progress,
    write_meta,
    write_text,
)

logger = logging.getLogger(__name__)

_TEMPORARY = ".writing-"
_LONGEST_NAME = 256  # bytes of `last`


class CheckpointConfig(StrictConfig):
    """How often a run saves, and which checkpoints stay."""

    every_steps: PositiveInt
    """Steps between two checkpoints; the last step and a signal save as well."""
    keep_last: PositiveInt = 3
    """The newest checkpoints to keep."""
    keep_every: PositiveInt | None = None
    """Checkpoints at multiples of this step stay for good."""
    asynchronous: bool = True
    """Train on while the files are written; the state is copied to the host's memory before."""


class CheckpointFolder:
    """The checkpoints of one run."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "checkpoints"
        self._pointer = self.path / "last"

    def last(self) -> Path | None:
        """The checkpoint to resume from, None where the run has none.

        Raises:
            CheckpointError: `last` is no file, or names something that is not there.
        """
        name = self._named()
        if name is None:
            # the first save died before it could write the pointer, or somebody removed it: what
            # has its name is whole, and is verified when it is read
            steps = self.steps()
            return self.at(steps[-1]) if steps else None
        # compared with what is there, so that a pointer never leads out of the folder
        for step in self.steps():
            if self.at(step).name == name:
                return self.at(step)
        raise CheckpointError(
            f"{self._pointer} names {name!r}, which is not there. {self.remedy()}"
        )

    def _named(self) -> str | None:
        """What `last` says, None where there is none."""
        if self._pointer.is_symlink():
            raise CheckpointError(f"{self._pointer} is a link, not a file. {self.remedy()}")
        try:
            content = read_plain(self._pointer, _LONGEST_NAME)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PlainFileError as error:
            raise CheckpointError(f"{error}. {self.remedy()}") from None
        return content.decode(errors="backslashreplace").strip()

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, rising."""
        names = [path.name.removeprefix("step_") for path in self.path.glob("step_*")]
        return sorted(int(name) for name in names if name.isdecimal())

    def at(self, step: int) -> Path:
        """Where the checkpoint of `step` lies or would lie."""
        return self.path / f"step_{step:08d}"

    def remedy(self) -> str:
        """How to resume from another checkpoint."""
        names = " ".join(self.at(step).name for step in self.steps())
        return f"To resume from one, write its name into {self._pointer}; there are: {names}"

    def prepare(self, step: int) -> Path:
        """An empty folder beside the checkpoints, for all ranks to write into.

        Raises:
            OSError: The disk refuses.
        """
        for path in self.path.glob(f"{_TEMPORARY}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        # the name is new, so that a rank of an earlier start that will not die writes elsewhere
        temporary = self.path / f"{_TEMPORARY}{self.at(step).name}-{secrets.token_hex(4)}"
        temporary.mkdir(parents=True)
        return temporary

    def publish(
        self,
        temporary: Path,
        progress: Progress,
        recipe_yaml: str,
        files: Mapping[str, Fingerprint],
    ) -> Path:
        """The new checkpoint, which `last` names from now on; all ranks have written their files.

        Raises:
            OSError: The disk refuses.
        """
        target = self.at(progress.step)
        write_meta(temporary, progress, recipe_yaml, files)
        if target.exists():
            # left by a crash before `last` moved on, or the same step saved again
            self._remove(target)
        temporary.rename(target)
        sync_folder(self.path)
        pointer = self.path / f"{_TEMPORARY}last"
        write_text(pointer, target.name + "\n")
        pointer.replace(self._pointer)
        sync_folder(self.path)
        return target

    def refusal(self, step: int, reason: str | None) -> CheckpointError:
        """What to raise when `step` could not be saved."""
        free = shutil.disk_usage(self.path.parent).free / 1e9
        return CheckpointError(
            f"could not save step {step} in {self.path}: {reason}. {free:.1f} GB are free there; "
            f"the checkpoints that were there are untouched. Make room or lower "
            f"checkpoint.keep_last, and start again"
        )

    def prune(self, config: CheckpointConfig) -> None:
        """Removes what `config` does not keep of the checkpoints up to `last`.

        Later ones are left from a run that was taken back to `last`; they take nobody's place.
        """
        last = self.last()
        assert last is not None, "nothing has been saved"
        steps = [step for step in self.steps() if self.at(step).name <= last.name]
        for step in steps[: -config.keep_last]:
            if config.keep_every is None or step % config.keep_every:
                try:
                    self._remove(self.at(step))
                except OSError as error:
                    # the new checkpoint is safe, and that is what counts
                    logger.warning("%s could not be removed: %s", self.at(step), error)

    def _remove(self, checkpoint: Path) -> None:
        # renamed first, so that a crash half way leaves no half checkpoint under a good name
        doomed = self.path / f"{_TEMPORARY}removed-{checkpoint.name}-{os.getpid()}"
        checkpoint.rename(doomed)
        # a reader on a network file system may hold it open; the next save tries again
        shutil.rmtree(doomed, ignore_errors=True)


def find_checkpoint(path: Path, key: str) -> Path:
    """The checkpoint at `path`, or the last one of the run that is there.

    Raises:
        CheckpointError: There is none; `key` is the recipe's key that named it.
    """
    path = path.expanduser()
    if (path / META).is_file():
        return path
    last = CheckpointFolder(path).last()
    if last is None:
        raise CheckpointError(
            f"{key}={path} is neither a checkpoint (no {META}) nor a run directory with one "
            "(no checkpoints/last)"
        )
    return last
