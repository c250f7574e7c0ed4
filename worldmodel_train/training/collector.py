"""What training needs of whatever acts for a run."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from worldmodel_train.data.trajectories.episode import Episode


@runtime_checkable
class Collector(Protocol):
    """Acts while a run trains; what it has is a function of the steps that were taken."""

    def resume(self, step: int, stored: Mapping[str, object]) -> None:
        """Reads what a run has after `step` steps; raises ValueError where it is not `stored`."""
        ...

    def due(self, step: int) -> bool:
        """Whether something is acted out after `step` steps; before the first, always."""
        ...

    def act(self, objective: nn.Module, step: int) -> Sequence[Episode]:
        """The episodes that are due, by an objective in evaluation mode."""
        ...

    def add(self, episodes: Sequence[Episode], *, write: bool) -> None:
        """Keeps episodes, which the first rank writes."""
        ...

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps to know the episodes again: plain values."""
        ...

    def values(self) -> dict[str, float]:
        """What is reported, the same on all ranks."""
        ...
