"""What one sample is made from."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One video, or the part of it between `start` and `end`, to become one sample."""

    source: str
    """The path as the user wrote it, or relative to the packed folder; goes into the sample."""
    path: Path
    label: str | None = None
    caption: str | None = None
    start: float | None = None  # seconds from the first frame
    end: float | None = None
    left_out: tuple[str, str] | None = None
    """Reason and detail of a place in which videos may lie that nobody can, or should, look for."""

    @property
    def is_segment(self) -> bool:
        """Whether only a part of the video is wanted."""
        return self.start is not None or self.end is not None
