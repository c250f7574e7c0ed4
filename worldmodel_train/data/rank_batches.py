"""A rank's micro-batches of any kind of data, made in processes of their own."""

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from worldmodel_train.batch import Batch, Origin
from worldmodel_train.data.batch_memory import BatchMemory, Shape
from worldmodel_train.data.feed import EmptyTensors, ReadT
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.worker_folder import remove_folder_as_an_orphan
from worldmodel_train.protocols import Preparation
from worldmodel_train.types import ContentT

_IN_USE = 3  # batches that training holds beside those in the loader's queue

ReadSamples: TypeAlias = Callable[[range], tuple[Sequence[ReadT], Origin]]
"""What these samples of the run hold, one part for each shape, and where it came from."""


class RankBatches(IterableDataset[Batch[ContentT]], ABC, Generic[ReadT, ContentT]):
    """Endless micro-batches of one rank; worker w of W makes every W-th of them."""

    def __init__(self, prepare: Preparation[ContentT, ReadT], position: LoaderPosition) -> None:
        self._prepare = prepare
        self._position = position

    @abstractmethod
    def opened(self, worker: int, workers: int) -> AbstractContextManager[ReadSamples[ReadT]]:
        """What reads samples, open in the process that is `worker` of `workers`."""

    def __iter__(self) -> Iterator[Batch[ContentT]]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        at = self._position
        with self.opened(worker, workers) as read:
            for number in at.micro_batches(worker, workers):
                first = at.first_sample(number)
                parts, origin = read(range(first, first + at.micro_batch))
                content = self._prepare(parts, seed=at.seed, step=first // at.global_batch)
                yield Batch(content=content, origin=origin)


def empty_tensors(prefetch: int) -> EmptyTensors:
    """Memory for the batches made here: in a loading process it is shared with training.

    It is enough for those in the queue, and those in use beyond it.
    """
    if get_worker_info() is None:
        return _private_tensors
    return BatchMemory(most=prefetch + _IN_USE).tensors


def _private_tensors(shapes: Sequence[Shape]) -> list[Tensor]:
    """Memory for what stays in this process."""
    return [torch.empty(shape, dtype=torch.uint8) for shape in shapes]


def in_workers(
    batches: IterableDataset[Batch[ContentT]],
    *,
    workers: int,
    prefetch: int,
    pack: Callable[[Any], Any] | None = None,
) -> DataLoader[Batch[ContentT]]:
    """A loader of batches that are made in `workers` processes, or here; `pack` is how they travel.

    A `Parcel` is for batches in memory that the maker asked `BatchMemory` for.
    """
    return DataLoader(
        batches,
        batch_size=None,
        # without batching it is given one item, and not a list as its type says
        collate_fn=pack if workers else None,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else each new iterator draws from the model's own generator
        worker_init_fn=_begin_as_a_fork,
    )


def _begin_as_a_fork(worker: int) -> None:
    """Takes what a forked worker inherits out of its garbage collection, and cleans up at its end.

    Finalisers that belong to the parent (of a decord reader, say, whose threads a fork does not
    have) would crash or hang here; and pages that the collector leaves alone stay shared.
    """
    del worker
    gc.freeze()
    remove_folder_as_an_orphan()
