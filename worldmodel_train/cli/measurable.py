"""What `wmt eval` takes: a run, one of its checkpoints, or weights that others trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worldmodel_train.training.checkpoints.files import META
from worldmodel_train.training.checkpoints.folder import CheckpointFolder


@dataclass(frozen=True, kw_only=True)
class Measurable:
    """A checkpoint, and where what is found of it goes."""

    run_dir: Path
    checkpoint: Path
    results: Path
    """The run directory for its last checkpoint; for another one a folder of its own in that, so
    that numbers of different steps are not mixed."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Checkpoints of other runs that are measured in the same table, by the runs' names."""
    shards: tuple[str, ...] = ()
    """What stands for the held-out data of the recipe."""


def measurable(path: Path, out: Path | None = None) -> Measurable:
    """What is to be measured at `path`; a Hugging Face folder is imported, into `out`.

    Raises:
        ValueError: There is nothing, or nothing that tells what model it is.
    """
    if out is not None and ((path / META).is_file() or CheckpointFolder(path).last() is not None):
        raise ValueError(f"--out={out} is for a Hugging Face folder, and {path} is a run; omit it")
    if (path / META).is_file():
        return _of_checkpoint(path.resolve())
    if CheckpointFolder(path).last() is None:
        path = _imported(path, out)
    last = CheckpointFolder(path).last()
    assert last is not None, "it was there, or has been written"
    return Measurable(run_dir=path, checkpoint=last, results=path)


def _of_checkpoint(checkpoint: Path) -> Measurable:
    inside = checkpoint.parent.name == "checkpoints"
    run_dir = checkpoint.parent.parent if inside else checkpoint.parent
    is_last = inside and CheckpointFolder(run_dir).last() == checkpoint
    results = run_dir if is_last else run_dir / "evaluation" / checkpoint.name
    results.mkdir(parents=True, exist_ok=True)
    return Measurable(run_dir=run_dir, checkpoint=checkpoint, results=results)


def _imported(path: Path, out: Path | None) -> Path:
    from worldmodel_train.cli.foreign_run import is_huggingface, run_of

    if is_huggingface(path):
        return run_of(path, out)
    if path.is_file():
        raise ValueError(
            f"{path} is a file, which does not say what size of model it has; read it by "
            f"`wmt import RECIPE {path} OUT`, with a recipe of that size, and measure OUT"
        )
    raise ValueError(
        f"{path} has no checkpoint and no config.json of Hugging Face; name a run directory such "
        "as runs/demo, a checkpoint in it, or a folder with config.json and model.safetensors"
    )
