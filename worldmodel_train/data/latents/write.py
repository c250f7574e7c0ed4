"""Writes a folder of latents; a writing that was cut goes on after its last whole shard."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from worldmodel_train.batch import Skip
from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.data.fixed import Views
from worldmodel_train.data.labels import Label, stack_labels
from worldmodel_train.data.latents.folder import TYPES
from worldmodel_train.data.latents.index import (
    INDEX,
    Index,
    MadeOf,
    index_bytes,
    read_index,
    shard_path,
)

Encode = Callable[[UInt8[Tensor, "b t h w c"]], Float[Tensor, "b n d"]]


@runtime_checkable
class Videos(Protocol):
    """All videos from a number on."""

    def __call__(self, *, first: int) -> Generator[Views | Skip, None, None]:
        """They, or why they cannot be used."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is done at a time."""

    batch: int
    """Clips encoded together; with several clips of a video, up to one video more."""
    shard_mb: int
    """MiB of a shard, which is held in memory until it is written."""


@dataclass
class _Shard:
    """What has been encoded since the last shard was written."""

    tokens: list[Float[Tensor, "_ n d"]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    skipped: int = 0
    next_video: int = 0
    """The first that is not among what lies here or in earlier shards."""

    def content(self) -> bytes:
        """The bytes of the file."""
        tensors = {"tokens": torch.cat(self.tokens)}
        if self.labels:
            tensors["labels"] = stack_labels(self.labels)
        notes = {"next_video": self.next_video, "skipped": self.skipped, "keys": self.keys}
        return save(tensors, metadata={name: json.dumps(note) for name, note in notes.items()})


class LatentsWriter:
    """Fills a folder; goes on after the shards that are there."""

    def __init__(self, folder: Path, made_of: MadeOf, sizes: Sizes) -> None:
        """Raises ValueError where the folder holds other latents."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._made_of = made_of
        self._sizes = sizes
        self._counts: list[int] = []
        self._open = _Shard()
        self._finished = False
        self.skipped = 0
        """Videos that could not be used."""
        if (folder / INDEX).exists():
            self._go_on(read_index(folder))
        else:
            write_atomically(folder / INDEX, index_bytes(Index(made_of=made_of)))
        self.kept = self.clips = sum(self._counts)
        """Clips that were there before, and clips that are there."""

    @property
    def num_shards(self) -> int:
        """Shards that are there."""
        return len(self._counts)

    def write(self, videos: Videos, encode: Encode, tell: Callable[[int], None]) -> None:
        """Writes what is missing; `tell` is told after each batch how many clips there are.

        Raises:
            ValueError: There is no video that can be used.
        """
        if self._finished:
            return
        for orphan in self._folder.glob(".*.safetensors.*.partial"):
            orphan.unlink()  # of a writing that was killed
        for batch in self._batches(videos):
            self._add(batch, encode)
            tell(self.clips)
            if sum(tokens.nbytes for tokens in self._open.tokens) >= self._sizes.shard_mb << 20:
                self._close()
        if self._open.tokens:
            self._close()
        self.skipped += self._open.skipped
        if not self._counts:
            raise ValueError(f"source '{self._made_of.source}' has no video that can be decoded")
        index = Index(made_of=self._made_of, shards=tuple(self._counts), skipped=self.skipped)
        write_atomically(self._folder / INDEX, index_bytes(index))

    def _go_on(self, index: Index) -> None:
        """Counts the shards that are there."""
        if different := index.made_of.differences(self._made_of):
            raise ValueError(
                f"{self._folder} holds other latents ({'; '.join(different)}); name another folder"
            )
        self._finished = index.shards is not None
        while (path := shard_path(self._folder, len(self._counts))).exists():
            with safe_open(path, framework="pt") as file:
                self._counts.append(file.get_slice("tokens").get_shape()[0])
                self._open.next_video = json.loads(file.metadata()["next_video"])
                self.skipped += json.loads(file.metadata()["skipped"])
        if self._finished:
            self.skipped = index.skipped  # also of those after the last shard

    def _batches(self, videos: Videos) -> Iterator[list[Views]]:
        """Whole videos, but for the last where that makes too many clips."""
        most, batch = self._made_of.most_clips, list[Views]()
        if self.clips == most:
            return
        with closing(videos(first=self._open.next_video)) as found:
            for video in found:
                if isinstance(video, Skip):
                    self._open.skipped += 1
                    continue
                waiting = sum(len(one.clips) for one in batch)
                room = None if most is None else most - self.clips - waiting
                batch.append(replace(video, clips=video.clips[:room], times=video.times[:room]))
                waiting += len(batch[-1].clips)
                enough = self.clips + waiting == most
                if enough or waiting >= self._sizes.batch:
                    yield batch
                    batch = []
                if enough:
                    return
        if batch:
            yield batch

    def _add(self, batch: list[Views], encode: Encode) -> None:
        """Encodes whole videos into the open shard."""
        clips = torch.cat([video.clips for video in batch])
        tokens = encode(clips).to("cpu", TYPES[self._made_of.precision])
        assert tokens.shape[1:] == (self._made_of.num_tokens, self._made_of.width), tokens.shape
        shard = self._open
        shard.tokens.append(tokens)
        for video in batch:
            shard.keys += [video.key] * len(video.clips)
            if video.class_number is not None:
                shard.labels += [video.class_number] * len(video.clips)
        shard.next_video = batch[-1].number + 1
        self.clips += len(clips)

    def _close(self) -> None:
        """Puts the open shard on the disk, and opens the next."""
        content = self._open.content()
        write_atomically(shard_path(self._folder, len(self._counts)), content)
        self._counts.append(sum(map(len, self._open.tokens)))
        self.skipped += self._open.skipped
        self._open = _Shard(next_video=self._open.next_video)
