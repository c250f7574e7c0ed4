"""The files of one checkpoint: written, flushed, listed with checksums, verified on load."""

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

WEIGHTS, STATE, RECIPE, META = "weights.safetensors", "state.pt", "recipe.yaml", "meta.json"
_FORMAT = 1
_PACKAGES = ("worldmodel-train", "torch", "lightning", "safetensors")


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, or that cannot be trusted."""


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
    files = {name: _fingerprint(folder / name) for name in (WEIGHTS, STATE, RECIPE)}
    meta = {
        "format": _FORMAT,
        "step": state.step,
        "samples_seen": state.samples_seen,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}},
        "files": files,
    }
    write_text(folder / META, json.dumps(meta, indent=2) + "\n")
    flush_folder(folder)


def read_meta(checkpoint: Path) -> dict[str, object]:
    """The meta data of a checkpoint, without a look at its other files."""
    try:
        meta = json.loads((checkpoint / META).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{checkpoint / META} cannot be read: {error}") from error
    if not isinstance(meta, dict) or meta.get("format") != _FORMAT:
        raise CheckpointError(f"{checkpoint / META} is not a checkpoint of format {_FORMAT}")
    return meta


def verify(checkpoint: Path) -> dict[str, object]:
    """The meta data, after every file was found to be what was written.

    Raises:
        CheckpointError: A file is missing or differs.
    """
    meta = read_meta(checkpoint)
    files = meta.get("files")
    if not isinstance(files, dict) or not {WEIGHTS, STATE, RECIPE} <= files.keys():
        raise CheckpointError(f"{checkpoint / META} does not list the checkpoint's files")
    for name in (WEIGHTS, STATE, RECIPE):
        path = checkpoint / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: the checkpoint is damaged")
        found = _fingerprint(path)
        if found != files[name]:
            raise CheckpointError(
                f"{path} is not what was saved ({found['bytes']} bytes, sha256 "
                f"{found['sha256']}, expected {files[name]}): the checkpoint is damaged"
            )
    return meta


def read_state(checkpoint: Path) -> RunState:
    """The state in a checkpoint, verified first, on the CPU."""
    meta = verify(checkpoint)
    step, samples_seen = meta["step"], meta["samples_seen"]
    assert isinstance(step, int)
    assert isinstance(samples_seen, int)
    rest = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
    return RunState(
        step=step,
        samples_seen=samples_seen,
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
    except SafetensorError as error:
        # the library reports a full disk by its own error class
        raise OSError(str(error)) from error
    _flush_file(path)


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


def _fingerprint(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
