"""What loaders give to a step: content, and where in the data it comes from."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple

import torch
from torch import Tensor

from worldmodel_train.types import ContentT_co


class Skip(NamedTuple):
    """One sample that could not be used."""

    reason: str
    shard: str
    key: str


class StreamMark(NamedTuple):
    """How far a loading process had read its share of a stream when it made a batch."""

    source: str
    shards: int
    """Shards of the source."""
    consumer: int
    """The process, of `consumers`."""
    consumers: int
    finished: int
    """Shards it has finished since the run was started, of those dealt to it."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where in the data a batch comes from."""

    first_sample: int
    """Position of the batch's first sample in the run's order of samples, counted as if all
    micro-batches had `train.micro_batch` of them."""
    skipped: tuple[Skip, ...] = field(default=())
    stream_marks: tuple[StreamMark, ...] = field(default=())
    """One for each source that streams."""


@dataclass(frozen=True, kw_only=True)
class Batch(Generic[ContentT_co]):
    """What one rank computes with in one forward pass, and where it comes from."""

    content: ContentT_co
    origin: Origin

    def to(self, device: torch.device | str) -> "Batch[ContentT_co]":
        """The batch on `device`; the copy does not block where the memory is pinned."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch[ContentT_co]":
        """The batch in page-locked memory."""
        return self.map(Tensor.pin_memory)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch[ContentT_co]":
        """The same batch with `function` applied to each tensor."""
        return replace(self, content=self.content.map(function))
