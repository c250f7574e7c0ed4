"""What training and checkpoints need to know of how the state lies over the ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from worldmodel_train.training.layouts.moments import Kind, Moments
from worldmodel_train.training.optim import ClipGradConfig


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of one tensor of the run's state, where this rank keeps it."""

    kind: Kind
    name: str
    """The tensor's name in the objective's state; a moment has that of its weight."""
    start: int
    """Where the stretch begins in the flattened tensor."""
    values: Tensor
    """One-dimensional; writing into it changes the run. Weights are the fp32 masters, and the
    teachers' weights the fp32 EMA."""
    replicated: bool
    """Whether every rank has the same; then the first one saves it."""

    @property
    def key(self) -> str:
        """The name that tells a weight from its moments."""
        return self.name if self.kind == "weights" else f"{self.kind}/{self.name}"

    @property
    def stop(self) -> int:
        """Where the stretch ends in the flattened tensor."""
        return self.start + self.values.numel()


@runtime_checkable
class Layout(Protocol):
    """The state of a run as its strategy lays it out; every method is called by all ranks."""

    moments: Moments

    def pieces(self) -> Sequence[Piece]:
        """This rank's pieces of all weights, persistent buffers and moments."""
        ...

    def publish(self) -> None:
        """Makes the model compute with what `pieces` hold, after they were written."""
        ...

    def update_teachers(self, momentum: float | None) -> None:
        """Moves every teacher towards its student's masters and publishes it.

        `momentum` is the schedule's, for pairs without one of their own.
        """
        ...

    def clip_gradients(self, clip: ClipGradConfig | None) -> None:
        """Measures the norm of all gradients together, and scales them down as `clip` says."""
        ...

    def watch_parts(self) -> None:
        """Has the norms of each part's gradients measured in this step, as before clipping."""
        ...

    def part_norms(self) -> Mapping[str, Tensor]:
        """These norms, by the child of the objective; empty where they were not asked for.

        After the step: some strategies have all gradients only then.
        """
        ...

    def gradient_norm(self) -> Tensor | None:
        """The norm of all gradients of the last step, before clipping; None if not measured."""
        ...


@torch.no_grad()
def all_finite(layout: Layout) -> bool:
    """Whether all weights that this rank keeps are finite; waits for each device once."""
    flags: dict[torch.device, list[Tensor]] = {}
    for piece in layout.pieces():
        if piece.kind == "weights":
            flags.setdefault(piece.values.device, []).append(piece.values.isfinite().all())
    return all(bool(torch.stack(found).all()) for found in flags.values())


@torch.no_grad()
def fill_weights(layout: Layout, weights: Mapping[str, Tensor]) -> None:
    """Fills this rank's pieces from whole weights, and publishes them."""
    for piece in layout.pieces():
        if piece.kind == "weights" and piece.name in weights:
            piece.values.copy_(weights[piece.name].reshape(-1)[piece.start : piece.stop])
    layout.publish()
