"""Where each tensor of ours lives in another layout."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Link(NamedTuple):
    """One tensor of ours: equal slices of its first axis, reshaped, are the tensors `theirs`."""

    ours: str
    theirs: tuple[str, ...]
    shape: tuple[int, ...]
    """Shape of each of theirs."""

    def split(self, tensor: Tensor) -> dict[str, Tensor]:
        """Their tensors, made of ours."""
        slices = tensor.detach().chunk(len(self.theirs))
        return {
            name: piece.reshape(self.shape).contiguous().clone()
            for name, piece in zip(self.theirs, slices, strict=True)
        }

    def join(self, pieces: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """Our tensor of this shape, made of theirs."""
        length = shape[0] // len(pieces)
        return torch.cat([piece.reshape(length, *shape[1:]) for piece in pieces])


class Rename(NamedTuple):
    """A module of ours (`{i}` is a block's number), and the modules that hold it elsewhere."""

    ours: str
    theirs: tuple[str, ...]


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


def _renamed(name: str, table: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Their names of the tensor that we call `name`."""
    if name in table:
        return table[name]
    stem, _, leaf = name.rpartition(".")
    block = re.match(r"blocks\.(\d+)\.", stem)
    number = block[1] if block else ""
    pattern = stem.replace(f"blocks.{number}.", "blocks.{i}.", 1) if block else stem
    theirs = table.get(pattern, (pattern,))
    return tuple(f"{other.replace('{i}', number)}.{leaf}" for other in theirs)
