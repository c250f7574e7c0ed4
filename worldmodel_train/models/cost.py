"""What a step of a method costs: the answers that `wmt show`, MFU and `auto` are made of."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from worldmodel_train.models.checkpointing import CheckpointingPlan
from worldmodel_train.models.flops import Flops
from worldmodel_train.models.memory import Precision, Sharding


@dataclass(frozen=True, kw_only=True)
class CostTable:
    """A further table of `wmt show --cost`, such as the tokens of a sample."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Bytes of one GPU at the worst moment of a step."""

    parts: Mapping[str, int]
    worst: str
    """Name of that moment."""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts.values())


@runtime_checkable
class StepCost(Protocol):
    """What a training step costs, computed from configurations: no weights are made."""

    @property
    def parameters(self) -> Mapping[str, int]:
        """Parameters of each part, of copies that follow another part too."""
        ...

    @property
    def flops(self) -> Mapping[str, Flops]:
        """Operations of each part of a step, per sample, backward pass included."""
        ...

    @property
    def model_flops(self) -> float:
        """Operations of a step per sample, without those done twice: what MFU counts."""
        ...

    @property
    def tables(self) -> Sequence[CostTable]:
        """What there is to say beside parameters and operations."""
        ...


@runtime_checkable
class HasMemory(Protocol):
    """A cost that knows what memory a step takes as well."""

    def memory(
        self, plan: CheckpointingPlan, sharding: Sharding, precision: Precision
    ) -> MemoryUse:
        """The memory of a GPU that takes a step with its micro-batch."""
        ...


@dataclass(frozen=True, kw_only=True)
class PlainCost:
    """A `StepCost` of numbers that are known, with nothing computed twice."""

    parameters: Mapping[str, int]
    flops: Mapping[str, Flops]
    tables: Sequence[CostTable] = ()

    @property
    def model_flops(self) -> float:
        """All operations."""
        return math.fsum(part.total for part in self.flops.values())


def total_flops(cost: StepCost) -> float:
    """Operations of a step per sample."""
    return sum(part.total for part in cost.flops.values())


def built_parameters(build: Callable[[], nn.Module]) -> dict[str, int]:
    """Parameters of each part of what is built: shapes alone, on torch's `meta` device."""
    with torch.device("meta"):
        module = build()
    counts = {name.replace("_", " "): _parameters(part) for name, part in module.named_children()}
    assert sum(counts.values()) == _parameters(module), "all of it is in its parts"
    return {name: count for name, count in counts.items() if count}


def num_built_parameters(build: Callable[[], nn.Module]) -> int:
    """Parameters of all of it, counted in the same way."""
    with torch.device("meta"):
        return _parameters(build())


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
