"""A step of several losses in order, each with its own parameters and one step of the optimizer."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import ParallelStrategy, Strategy
from torch import Tensor, nn

from worldmodel_train.protocols import HasPhases, Objective, ParameterGroup, Phase
from worldmodel_train.types import Content, Losses


class PhasedStep:
    """Goes through the phases of each step.

    AdamW passes over parameters without a gradient, so one phase's step leaves the moments of all
    others alone. As each parameter is trained by one phase, all have seen as many steps.
    """

    def __init__(self, objective: HasPhases[Content], groups: Sequence[ParameterGroup]) -> None:
        self._objective = objective
        self._groups = {group.name: list(group.parameters) for group in groups}
        self._phases: Sequence[Phase] = ()
        self._now = 0

    @classmethod
    def of(cls, objective: HasPhases[Content]) -> "PhasedStep":
        """The steps of an objective."""
        assert isinstance(objective, Objective)
        return cls(objective, objective.parameter_groups())

    @property
    def name(self) -> str:
        """The name of the phase that is taken now."""
        return self._phases[self._now].name

    @property
    def names(self) -> list[str]:
        """The names of this step's phases, in order."""
        return [phase.name for phase in self._phases]

    def begin(self, content: Content) -> None:
        """Turns to the first phase of a step on `content`.

        Raises:
            ValueError: A group of parameters is not trained by exactly one phase.
        """
        self._phases, self._now = self._objective.phases(content), 0
        _require_each_group_once(self._phases, self._groups)

    def losses(self) -> Losses:
        """The losses of the phase, computed now."""
        return self._phases[self._now].losses()

    def go_on(self) -> bool:
        """Turns to the next phase; False after the last, which lets go of the content."""
        self._now += 1
        if self._now < len(self._phases):
            return True
        self._phases = [Phase(name=p.name, groups=p.groups, losses=_over) for p in self._phases]
        return False

    @torch.no_grad()
    def keep_own_gradients(self) -> None:
        """Drops what the phase's loss gave to others, and averages its own over the ranks.

        Raises:
            ValueError: The loss gave a parameter of the phase no gradient.
        """
        phase = self._phases[self._now]
        for name, parameters in self._groups.items():
            if name not in phase.groups:
                for parameter in parameters:
                    parameter.grad = None
        own = [parameter.grad for name in phase.groups for parameter in self._groups[name]]
        gradients = [gradient for gradient in own if gradient is not None]
        if len(gradients) < len(own):
            raise ValueError(
                f"phase {phase.name} of {type(self._objective).__name__} trains "
                f"{', '.join(phase.groups)}, and its loss gives {len(own) - len(gradients)} of "
                "these parameters no gradient; take them out of the groups"
            )
        _average(gradients)


@contextmanager
def without_reduction(strategy: Strategy, phased: PhasedStep | None) -> Iterator[None]:
    """Inside, DDP leaves gradients of phases alone: each lacks those of the others."""
    if phased is None or not isinstance(strategy, ParallelStrategy):
        yield
        return
    with strategy.block_backward_sync():
        yield


def _require_each_group_once(
    phases: Sequence[Phase], groups: Mapping[str, Sequence[nn.Parameter]]
) -> None:
    trained = Counter(name for phase in phases for name in phase.groups)
    for name in sorted(trained.keys() | groups.keys()):
        if trained[name] != 1 or name not in groups:
            raise ValueError(
                f"phases {', '.join(phase.name for phase in phases)} train group {name!r} "
                f"{trained[name]} times, and the objective has the groups {', '.join(groups)}; "
                "train each of these in one phase"
            )


def _average(gradients: Sequence[Tensor]) -> None:
    """Each gradient's mean over the ranks, by one sum."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    together /= dist.get_world_size()
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, part in zip(gradients, together.split(sizes), strict=True):
        gradient.copy_(part.view_as(gradient))


def _over() -> Losses:
    raise AssertionError("the step of this phase is over")
