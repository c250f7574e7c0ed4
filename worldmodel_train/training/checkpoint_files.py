"""The files of one checkpoint: written, flushed, listed with checksums, verified on load."""

import hashlib
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.strict_state import CheckpointError

WEIGHTS, STATE, RECIPE, META = "weights.safetensors", "state.pt", "recipe.yaml", "meta.json"
_FILES = (WEIGHTS, STATE, RECIPE)
_PACKAGES = ("worldmodel-train", "torch", "lightning", "safetensors")


class Fingerprint(StrictConfig):
    """What a file must be to be the one that was written."""

    bytes: int
    sha256: str


class Meta(StrictConfig):
    """`meta.json`: where the run was, with what it was made, and the other files."""

    format: Literal[1]
    step: int
    samples_seen: int
    versions: dict[str, str]
    files: dict[str, Fingerprint]


@dataclass(frozen=True, kw_only=True)
class RunState:
    """All that a run needs to go on; the data position is `step` times the global batch."""

    step: int
    samples_seen: int
    weights: dict[str, Tensor]
    """The objective's state: teachers (the EMA, in fp32) as well as students."""
    optimizer: dict[str, object]
    watch: dict[str, object]
    """What the collapse guard remembers."""


def write_whole(folder: Path, state: RunState, recipe_yaml: str) -> None:
    """Writes and flushes all files of a checkpoint into `folder`.

    Raises:
        OSError: The disk is full or refuses.
    """
    _save_weights(folder / WEIGHTS, state.weights)
    _save_state(folder / STATE, {"optimizer": state.optimizer, "watch": state.watch})
    write_text(folder / RECIPE, recipe_yaml)
    files = {name: _fingerprint(folder / name) for name in _FILES}
    meta = Meta(
        format=1,
        step=state.step,
        samples_seen=state.samples_seen,
        versions={"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}},
        files=files,
    )
    write_text(folder / META, meta.model_dump_json(indent=2) + "\n")
    flush_folder(folder)


def read_meta(checkpoint: Path) -> Meta:
    """The meta data of a checkpoint, without a look at its other files."""
    path = checkpoint / META
    try:
        return Meta.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint's: {error}") from error


def verify(checkpoint: Path) -> Meta:
    """The meta data, after every file was found to be what was written.

    Raises:
        CheckpointError: A file is missing or differs.
    """
    meta = read_meta(checkpoint)
    for name in _FILES:
        path, expected = checkpoint / name, meta.files.get(name)
        if expected is None or not path.is_file():
            raise CheckpointError(f"{path} is missing: the checkpoint is damaged")
        found = _fingerprint(path)
        if found != expected:
            raise CheckpointError(
                f"{path} is not what was saved (found {found}, saved {expected}): the checkpoint "
                f"is damaged"
            )
    return meta


def read_state(checkpoint: Path) -> RunState:
    """The state in a checkpoint, verified first, on the CPU."""
    meta = verify(checkpoint)
    rest = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
    return RunState(
        step=meta.step,
        samples_seen=meta.samples_seen,
        weights=load_file(checkpoint / WEIGHTS),
        optimizer=rest["optimizer"],
        watch=rest["watch"],
    )


def write_text(path: Path, text: str) -> None:
    """Writes `text` and flushes it to the disk."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flushes the names in `folder` to the disk: a rename is not safe before."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        save_file(tensors, path)
        path.chmod(0o666 & ~_umask())  # the library writes for the owner alone
    except SafetensorError as error:
        # the library reports a full disk by its own error class
        raise OSError(str(error)) from error
    _flush_file(path)


def _umask() -> int:
    """The permissions that this process's files do not get; reading it means setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _save_state(path: Path, state: dict[str, object]) -> None:
    try:
        torch.save(state, path)
    except RuntimeError as error:
        # a full disk, as PyTorch's zip writer reports it
        raise OSError(str(error)) from error
    _flush_file(path)


def _flush_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _fingerprint(path: Path) -> Fingerprint:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Fingerprint(bytes=path.stat().st_size, sha256=digest)
