"""Keeps a step whose loss jumps from being taken, on all ranks alike."""

import logging
import statistics

from torch import Tensor

from worldmodel_train.collectives import all_ranks_rows
from worldmodel_train.training.guard import Guard

logger = logging.getLogger(__name__)


class SpikeGate:
    """Asks the guard whether a step is taken, once its loss is known on all ranks."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._loss: Tensor | None = None

    @property
    def skipped(self) -> int:
        """Steps that were not taken."""
        return 0 if self._guard.spikes is None else self._guard.spikes.skipped

    def add(self, loss: Tensor, micro_batches: int) -> None:
        """Adds the loss of one of a step's micro-batches."""
        share = loss.float() / micro_batches
        self._loss = share if self._loss is None else self._loss + share

    def opens(self, step: int) -> bool:
        """Whether the step with index `step` is taken; the same on all ranks."""
        assert self._loss is not None, "asked before there is a loss"
        loss, self._loss = _mean_over_ranks(self._loss), None
        taken = self._guard.takes(loss, step)
        if not taken:
            logger.warning("step %d is passed over: its loss jumped to %.4g", step + 1, loss)
        return taken


def _mean_over_ranks(loss: Tensor) -> float:
    """The same number on every rank: they add up in one order."""
    return statistics.fmean(all_ranks_rows(loss.detach()[None]).tolist())
