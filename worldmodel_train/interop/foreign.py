"""A checkpoint of another code base, opened but not yet read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from worldmodel_train.interop.naming import Naming
from worldmodel_train.interop.objective_parts import Part


class Section(NamedTuple):
    """Named tensors of one part: shapes at once, values when asked for."""

    title: str
    """What the file calls this part."""
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A file's parts, under our names of the parts and the file's names of the tensors."""

    path: Path
    layout: str
    naming: Naming
    sections: Mapping[Part, Section]
    ignored: tuple[str, ...] = ()
    """What else the file holds that is known and not needed."""
