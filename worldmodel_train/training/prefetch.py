"""The next batch on its way to the GPU while the GPU computes.

Lightning asks for a batch before the step on the one before, so a copy that begins when a batch is
asked for overlaps that step. It overlaps only on a stream of its own and out of page-locked memory,
which is what the loader gives.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from worldmodel_train.batch import Batch
from worldmodel_train.types import ContentT, ContentT_co


@dataclass(frozen=True, kw_only=True)
class ArrivingBatch(Batch[ContentT_co]):
    """A batch on a GPU, which a stream of its own is still copying."""

    copied: torch.cuda.Event

    def to(self, device: torch.device | str) -> Batch[ContentT_co]:
        """The batch for the current stream, which waits for the copy; the host does not."""
        current = torch.cuda.current_stream(device)
        current.wait_event(self.copied)

        def keep(tensor: Tensor) -> Tensor:
            assert tensor.device == current.device
            # the memory belongs to the copying stream, which would use it again too early
            tensor.record_stream(current)
            return tensor

        return Batch(content=self.content.map(keep), origin=self.origin)


def on_the_way(
    batches: Iterable[Batch[ContentT]], device: torch.device
) -> Iterable[Batch[ContentT]]:
    """The batches in their order, each on its way to `device` once asked for; on a CPU unchanged.

    None is asked for before it is wanted.
    """
    return batches if device.type == "cpu" else _copied(batches, device)


def _copied(batches: Iterable[Batch[ContentT]], device: torch.device) -> Iterator[Batch[ContentT]]:
    stream = torch.cuda.Stream(device)
    for batch in batches:
        with torch.cuda.stream(stream):
            there = batch.to(device)
        copied = torch.cuda.Event()
        copied.record(stream)
        yield ArrivingBatch(content=there.content, origin=there.origin, copied=copied)
