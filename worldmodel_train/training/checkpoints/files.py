"""The files of one checkpoint: written, flushed, listed with checksums, verified.

    weights-00003.safetensors   what rank 3 keeps of the weights and teachers, in fp32
    moments-00003.safetensors   what it keeps of AdamW's moments
    online_probe.safetensors    what the online probe knows, where there is one
    recipe.yaml                 the resolved recipe
    meta.json                   everything else, checksums of the other files and of itself; last

A tensor that a rank keeps whole has its own name and shape. A stretch of a flattened tensor is
`name[first:last]`. So one process's checkpoint is plain to read, and one of any number of ranks,
under any strategy, can be filled into any other.
"""

import hashlib
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from pydantic import ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.json_text import JsonError, parse_model
from worldmodel_train.config.plain_file import PlainFileError, read_plain
from worldmodel_train.config.sealed_json import SealError, sealed, unsealed
from worldmodel_train.data.atomic_file import sync_folder
from worldmodel_train.data.stream_positions import StreamState
from worldmodel_train.facts import EpisodeFacts
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoints.staging import Staging
from worldmodel_train.training.layouts.layout import Piece

RECIPE, META, ONLINE_PROBE = "recipe.yaml", "meta.json", "online_probe.safetensors"
_FORMAT = 3
_LARGEST_META = 1 << 30  # bytes; ten thousand ranks' files and tensors take some megabytes
_PACKAGES = ("worldmodel-train", "torch", "lightning", "safetensors")


def _umask() -> int:
    """The permissions that this process's files do not get; reading it means setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


_UMASK = _umask()  # read before there are threads


class Fingerprint(StrictConfig):
    """What a file must be to be the one that was written."""

    bytes: int
    sha256: str


Shapes = dict[str, tuple[int, ...]]


class Progress(StrictConfig):
    """Where a run is, beside its tensors.

    The data position is `step` times the global batch, for all sources that can seek.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    step: int
    samples_seen: int
    optimizer_step: int | None
    """Steps that the moments have seen; None where there are none, as in imported weights."""
    shapes: Shapes
    """Of every tensor of the objective's state."""
    episodes: EpisodeFacts | None = None
    """What the objective was told of episodes: it can be built again where they have gone. None in
    checkpoints of other data, and in older ones."""
    watch: dict[str, object]
    """What the collapse guard remembers."""
    alarms: dict[str, object] = Field(default_factory=dict[str, object])
    """What the alarms remember; empty in older checkpoints."""
    streams: StreamState
    """How far sources that cannot seek have been read."""
    frozen: dict[str, str] = Field(default_factory=dict[str, str])
    """Fingerprints of the parts of other runs that the objective computes with."""
    collected: dict[str, object] = Field(default_factory=dict[str, object])
    """How many episodes the run had acted out, and their digest."""


class Meta(Progress):
    """`meta.json`; format 2 had no checksum of its own."""

    format: Literal[2, 3]
    versions: dict[str, str]
    files: dict[str, Fingerprint]


def weights_file(rank: int) -> str:
    """The name of a rank's file of weights."""
    return f"weights-{rank:05d}.safetensors"


def moments_file(rank: int) -> str:
    """The name of a rank's file of moments."""
    return f"moments-{rank:05d}.safetensors"


def tensors_of(
    pieces: Iterable[Piece], shapes: Mapping[str, tuple[int, ...]], rank: int
) -> dict[str, dict[str, Tensor]]:
    """What a rank writes: a copy of its pieces on the CPU, by file and name."""
    files: dict[str, dict[str, Tensor]] = {weights_file(rank): {}, moments_file(rank): {}}
    staging = Staging()
    for piece in pieces:
        if piece.replicated and rank != 0:
            continue
        shape, name = shapes[piece.name], piece.key
        values = staging.copy(piece.values.detach())
        if values.numel() == _size(shape):
            values = values.view(shape)
        else:
            name = f"{name}[{piece.start}:{piece.stop}]"
        file = weights_file(rank) if piece.kind == "weights" else moments_file(rank)
        files[file][name] = values
    staging.flush()
    return {name: tensors for name, tensors in files.items() if tensors}


def write_tensors(
    folder: Path, files: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, Fingerprint]:
    """Writes and flushes a rank's files.

    Raises:
        OSError: The disk is full or refuses.
    """
    for name, tensors in files.items():
        _save(folder / name, dict(tensors))
    return {name: _fingerprint(folder / name) for name in files}


def write_meta(
    folder: Path, progress: Progress, recipe_yaml: str, files: Mapping[str, Fingerprint]
) -> None:
    """Writes what makes the ranks' files a checkpoint, and flushes the folder.

    Raises:
        OSError: The disk is full or refuses.
    """
    write_text(folder / RECIPE, recipe_yaml)
    meta = Meta(
        **dict(progress),
        format=_FORMAT,
        versions={"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}},
        files={**files, RECIPE: _fingerprint(folder / RECIPE)},
    )
    write_text(folder / META, sealed(meta.model_dump_json(indent=2)))
    sync_folder(folder)


def read_meta(checkpoint: Path) -> Meta:
    """The meta data of a checkpoint, without a look at its other files.

    Raises:
        CheckpointError: The file is missing, damaged or something else.
    """
    path = checkpoint / META
    try:
        content = read_plain(path, _LARGEST_META)
        text = unsealed(content)
        meta = parse_model(Meta, content if text is None else text, path, allow_nan=True)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path} is missing: the checkpoint is damaged, or none") from None
    except (PlainFileError, JsonError) as error:
        raise CheckpointError(f"{error}: the checkpoint is damaged, or none") from None
    except SealError as error:
        raise CheckpointError(f"{path}: {error}: the checkpoint is damaged") from None
    if (text is None) != (meta.format == 2):
        raise CheckpointError(f"{path} has lost its checksum: the checkpoint is damaged")
    return meta


def verify(checkpoint: Path, meta: Meta, *, share: int = 0, shares: int = 1) -> None:
    """Compares a share of the files with what was written.

    Raises:
        CheckpointError: A file is missing or differs.
    """
    for name in sorted(meta.files)[share::shares]:
        verify_file(checkpoint, meta, name)


def verify_file(checkpoint: Path, meta: Meta, name: str) -> None:
    """Compares one file with what was written.

    Raises:
        CheckpointError: It is missing or differs.
    """
    path, expected = checkpoint / name, meta.files.get(name)
    if expected is None or not path.is_file():
        raise CheckpointError(f"{path} is missing: the checkpoint is damaged")
    found = _fingerprint(path)
    if found != expected:
        raise CheckpointError(
            f"{path} is not what was saved (found {found}, saved {expected}): the checkpoint "
            f"is damaged"
        )


def write_text(path: Path, text: str) -> None:
    """Writes `text` and flushes it to the disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _size(shape: Iterable[int]) -> int:
    return torch.Size(shape).numel()


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        save_file(tensors, path)
        path.chmod(0o666 & ~_UMASK)  # the library writes for the owner alone
    except SafetensorError as error:
        # the library reports a full disk by its own error class
        raise OSError(str(error)) from error
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _fingerprint(path: Path) -> Fingerprint:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Fingerprint(bytes=path.stat().st_size, sha256=digest)
