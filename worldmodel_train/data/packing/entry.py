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
    labels: tuple[str, ...] | None = None
    """All that is true of it, where that is more than one class."""
    caption: str | None = None
    start: float | None = None  # seconds from the first frame
    end: float | None = None
    name: str | None = None
    """What a published list calls it. What has a name is a sample of its own, even where another
    holds the same video: scores are over all samples of such a list."""
    left_out: tuple[str, str] | None = None
    """Reason and detail of a place in which videos may lie that nobody can, or should, look for."""

    @property
    def is_segment(self) -> bool:
        """Whether only a part of the video is wanted."""
        return self.start is not None or self.end is not None
