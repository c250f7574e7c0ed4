"""What a worker makes of an entry: the files of a sample, or a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A sample that may be packed."""

    files: Mapping[str, Path | bytes]
    """By suffix, with its dot, in the order of the tar; those on disk are in a scratch folder."""
    content: str
    """What no two samples of a set share."""
    seconds: float
    """Of video."""

    def discard(self) -> None:
        """Remove what is on disk."""
        for file in self.files.values():
            if isinstance(file, Path):
                file.unlink()


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """What may not be packed, and why."""

    reason: str
    detail: str
