"""Networks that another run has trained, held by reference: nobody trains, shards or saves them."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import EpisodeFacts

WHOLE = "."
"""The part that is a whole objective."""


class PartConfig(StrictConfig):
    """A part of another run's objective."""

    checkpoint: Path
    """A run directory (its last checkpoint is taken) or a checkpoint, as `wmt import` writes it."""
    part: str = Field(min_length=1)
    """Which module of that objective, such as target_encoder; `.` for all of it."""

    @property
    def module(self) -> str:
        """The part's name as torch has it, in which a module itself is the empty one."""
        return "" if self.part == WHOLE else self.part


class FrozenPart:
    """A network that stays as it is.

    It is no module of the objective that holds it: so it has no gradient and no moments, a strategy
    leaves it whole, and a checkpoint has its fingerprint only.
    """

    def __init__(
        self, module: nn.Module, *, origin: str, episodes: EpisodeFacts | None = None
    ) -> None:
        self._module: nn.Module | None = module.eval().requires_grad_(requires_grad=False)
        self._device: torch.device | None = None
        self.origin = origin
        """Where it comes from, for a person."""
        self.episodes = episodes
        """What it was trained on; None of other data, and of checkpoints that do not say."""

    def on(self, device: torch.device) -> nn.Module:
        """The network, on `device` from now on; call it under `torch.no_grad`."""
        assert self._module is not None, "it was given away"
        if device != self._device:
            self._module.to(device)
            self._device = device
        return self._module

    def thaw(self) -> nn.Module:
        """The network itself, to be trained by who asks; its fingerprint alone stays here."""
        assert self._module is not None, "it was given away"
        assert self.fingerprint, "what the network was, before anyone trains it"
        module, self._module = self._module, None
        return module.train().requires_grad_(requires_grad=True)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the names and values of its state; once given away, as it was then."""
        assert self._module is not None, "a network is given away with its fingerprint taken"
        return fingerprint_of(self._module)


def fingerprint_of(module: nn.Module) -> str:
    """SHA-256 over the names and values of a network's state."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@runtime_checkable
class HasFrozen(Protocol):
    """An objective that computes with parts of other runs."""

    def frozen_parts(self) -> Mapping[str, FrozenPart]:
        """The parts by name."""
        ...


def fingerprints(objective: nn.Module) -> dict[str, str]:
    """The fingerprint of each frozen part; empty where there are none."""
    if not isinstance(objective, HasFrozen):
        return {}
    return {name: part.fingerprint for name, part in objective.frozen_parts().items()}
