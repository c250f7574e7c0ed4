"""A checkpoint of another code base, opened but not yet read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from worldmodel_train.interop.links import Link
from worldmodel_train.interop.naming import Naming
from worldmodel_train.interop.objective_parts import Part
from worldmodel_train.models.strict_state import CheckpointError


class Section(NamedTuple):
    """Named tensors of one part: shapes at once, values when asked for."""

    title: str
    """What the file calls this part."""
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]

    def state(
        self, links: Sequence[Link], like: Mapping[str, Tensor], path: Path
    ) -> dict[str, Tensor]:
        """Our tensors, of the shapes of `like`, made of those in the file at `path`."""
        state: dict[str, Tensor] = {}
        for link in links:
            pieces = {name: self.read(name) for name in link.stored}
            for name, piece in pieces.items():
                if not piece.is_floating_point() or not torch.isfinite(piece).all():
                    raise CheckpointError(
                        f"{path}: {self.title}.{name} holds NaN, infinity or no floating-point "
                        "numbers; the checkpoint is damaged"
                    )
            state[link.ours] = link.join(pieces, like[link.ours].shape)
        return state


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A file's parts, under our names of the parts and the file's names of the tensors."""

    path: Path
    layout: str
    naming: Naming
    sections: Mapping[Part, Section]
    ignored: tuple[str, ...] = ()
    """What else the file holds that is known and not needed."""
