"""Where in the run's order of samples a rank reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from worldmodel_train.data.stream_positions import StreamState


@dataclass(frozen=True, kw_only=True)
class LoaderPosition:
    """Which part of the run's order of samples this rank reads, and from which step on."""

    seed: int
    rank: int
    world_size: int
    micro_batch: int
    global_batch: int
    first_step: int
    """Optimizer step to start at; all that sources on a file system need to know."""
    streams: StreamState | None = None
    """Where streams go on; None for a run that begins."""

    def __post_init__(self) -> None:
        per_pass = self.micro_batch * self.world_size
        if self.global_batch % per_pass:
            below = self.global_batch - self.global_batch % per_pass
            raise ValueError(
                f"train.global_batch={self.global_batch} is not a multiple of micro_batch="
                f"{self.micro_batch} x {self.world_size} processes; use {max(below, per_pass)} "
                f"or {below + per_pass}"
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches per rank and optimizer step."""
        return self.global_batch // (self.micro_batch * self.world_size)

    def first_sample(self, micro_batch: int) -> int:
        """The first sample of this rank's `micro_batch`-th micro-batch, counted from step 0."""
        step, part = divmod(micro_batch, self.accumulation)
        place = part * self.world_size + self.rank
        return step * self.global_batch + place * self.micro_batch

    def micro_batches(self, worker: int, workers: int) -> Iterator[int]:
        """The numbers of the micro-batches that one of this rank's workers makes, forever."""
        return count(self.first_step * self.accumulation + worker, workers)
