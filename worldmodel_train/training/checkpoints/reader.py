"""Reads a checkpoint of any number of ranks into any layout, or into whole tensors."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoints.files import (
    ONLINE_PROBE,
    Meta,
    moments_file,
    read_meta,
    verify,
    verify_file,
    weights_file,
)
from worldmodel_train.training.layouts.layout import Piece

_STRETCH = re.compile(r"^(.*)\[(\d+):(\d+)\]$")


class Stretch(NamedTuple):
    """A stretch of a flattened tensor, and where it is stored."""

    first: int
    last: int
    file: str
    key: str


Index = Mapping[str, list[Stretch]]


class CheckpointReader:
    """The tensors of one checkpoint. It does not verify them; `checkpoint_files.verify` does."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.meta: Meta = read_meta(checkpoint)
        self._open: dict[str, Any] = {}

    @torch.no_grad()
    def fill(self, pieces: Iterable[Piece], rank: int) -> None:
        """Writes the stored values into `pieces`.

        A rank finds everything in the files of its own number and in the first rank's, which keep
        what all ranks share. Where the number of ranks or the strategy has changed, it looks into
        all files for the stretches that it needs.

        Raises:
            CheckpointError: Some values are nowhere.
        """
        own = self._index([weights_file(rank), moments_file(rank)])
        for piece in pieces:
            if not any(
                self._fill(piece, index().get(piece.key, ()))
                for index in (lambda: own, lambda: self._first, lambda: self._all)
            ):
                raise CheckpointError(
                    f"{self.checkpoint} has no values for {piece.key}[{piece.start}:{piece.stop}]"
                )

    def online_probe(self) -> dict[str, Tensor]:
        """What the online probe knew; empty where there was none.

        Raises:
            CheckpointError: It is damaged.
        """
        if ONLINE_PROBE not in self.meta.files:
            return {}
        verify_file(self.checkpoint, self.meta, ONLINE_PROBE)
        return load_file(self.checkpoint / ONLINE_PROBE)

    def weights(self, prefix: str = "") -> dict[str, Tensor]:
        """Weights and persistent buffers whose names begin so, whole, on the CPU."""
        return {
            name: self._whole(name, shape)
            for name, shape in self.meta.shapes.items()
            if name.startswith(prefix)
        }

    @cached_property
    def _first(self) -> Index:
        return self._index([weights_file(0), moments_file(0)])

    @cached_property
    def _all(self) -> Index:
        files = [name for name in self.meta.files if name.endswith(".safetensors")]
        return self._index(name for name in files if name != ONLINE_PROBE)

    def _fill(self, piece: Piece, stretches: Iterable[Stretch]) -> bool:
        """Whether `stretches` hold all of `piece`; fills in what they hold."""
        missing = piece.values.numel()
        for stretch in stretches:
            first, last = max(piece.start, stretch.first), min(piece.stop, stretch.last)
            if first < last:
                values = self._read(stretch, first, last)
                piece.values[first - piece.start : last - piece.start].copy_(values)
                missing -= last - first
        return missing == 0

    def _whole(self, name: str, shape: tuple[int, ...]) -> Tensor:
        stretches = sorted(self._all.get(name, ()))
        values = [self._read(stretch, stretch.first, stretch.last) for stretch in stretches]
        whole = torch.cat(values) if values else torch.empty(0)
        if whole.numel() != torch.Size(shape).numel():
            raise CheckpointError(f"{self.checkpoint} holds only parts of {name}")
        return whole.view(shape)

    def _read(self, stretch: Stretch, first: int, last: int) -> Tensor:
        """The elements `first` to `last` of the whole tensor, which lie in `stretch`."""
        file = self._file(stretch.file)
        if _STRETCH.match(stretch.key):
            return file.get_slice(stretch.key)[first - stretch.first : last - stretch.first]
        return file.get_tensor(stretch.key).view(-1)[first:last]

    def _index(self, names: Iterable[str]) -> Index:
        index: dict[str, list[Stretch]] = {}
        for name in names:
            if name in self.meta.files:
                for tensor, stretch in self._stretches(name):
                    index.setdefault(tensor, []).append(stretch)
        return index

    def _stretches(self, name: str) -> Iterator[tuple[str, Stretch]]:
        file = self._file(name)
        for key in file.keys():  # noqa: SIM118  # not a mapping
            match = _STRETCH.match(key)
            if match:
                yield match[1], Stretch(int(match[2]), int(match[3]), name, key)
            else:
                size = torch.Size(file.get_slice(key).get_shape()).numel()
                yield key, Stretch(0, size, name, key)

    def _file(self, name: str) -> Any:  # noqa: ANN401  # the library names no type
        if name not in self._open:
            path = self.checkpoint / name
            try:
                self._open[name] = safe_open(path, framework="pt")
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{path} cannot be read: {error}") from error
        return self._open[name]


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint, teachers included, whole, in fp32 and verified.

    Needs neither a GPU nor the strategy that wrote them.
    """
    reader = CheckpointReader(checkpoint)
    verify(checkpoint, reader.meta)
    return reader.weights()
