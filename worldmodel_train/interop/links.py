"""Where each tensor of ours lives in another layout."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Link(NamedTuple):
    """One tensor of ours: equal slices of its first axis, reshaped, are the tensors `theirs`."""

    ours: str
    theirs: tuple[str | None, ...]
    """None is a slice that they do not have, and that is zero in ours."""
    shape: tuple[int, ...]
    """Shape of each of theirs."""

    @property
    def stored(self) -> tuple[str, ...]:
        """Those that they have."""
        return tuple(name for name in self.theirs if name is not None)

    def split(self, tensor: Tensor) -> dict[str, Tensor]:
        """Their tensors, made of ours."""
        slices = tensor.detach().chunk(len(self.theirs))
        return {
            name: piece.reshape(self.shape).contiguous().clone()
            for name, piece in zip(self.theirs, slices, strict=True)
            if name is not None
        }

    def join(self, pieces: Mapping[str, Tensor], shape: Sequence[int]) -> Tensor:
        """Our tensor of this shape, made of theirs by name."""
        length = shape[0] // len(self.theirs)
        slices = [torch.zeros(self.shape) if name is None else pieces[name] for name in self.theirs]
        return torch.cat([piece.reshape(length, *shape[1:]) for piece in slices])


class Rename(NamedTuple):
    """A module or tensor of ours (`{i}` is a block's number), and what holds it elsewhere."""

    ours: str
    theirs: tuple[str | None, ...]


Reshape = Callable[[tuple[int, ...]], tuple[int, ...]]


def links(
    module: nn.Module, renames: Sequence[Rename], reshapes: Mapping[str, Reshape]
) -> list[Link]:
    """A link for each tensor of `module`; `reshapes` are keyed by our name.

    A module without a rename keeps its name; so does every leaf (`weight`, `bias`).
    """
    table = {rename.ours: rename.theirs for rename in renames}
    found: list[Link] = []
    for name, tensor in module.state_dict().items():
        theirs = _renamed(name, table)
        first, *others = tensor.shape
        shape = (first // len(theirs), *others)
        found.append(Link(name, theirs, reshapes.get(name, _same)(shape)))
    return found


def _same(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape


def _renamed(name: str, table: Mapping[str, tuple[str | None, ...]]) -> tuple[str | None, ...]:
    """Their names of the tensor that we call `name`."""
    block = re.match(r"blocks\.(\d+)\.", name)
    number = block[1] if block else ""
    pattern = name.replace(f"blocks.{number}.", "blocks.{i}.", 1) if block else name
    stem, _, leaf = pattern.rpartition(".")
    of_module = [other and f"{other}.{leaf}" for other in table.get(stem, (stem,))]
    theirs = table.get(pattern, of_module)
    return tuple(other and other.replace("{i}", number) for other in theirs)
