"""What a published list says: its samples and its classes, and where the videos are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.folder_entries import folder_entries
from worldmodel_train.data.video_files import VIDEO_SUFFIXES

FIRST_PICTURE_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The samples of a list in its order, and all classes in the set's own order."""

    entries: list[Entry]
    classes: tuple[str, ...]


class Library:
    """The videos below a folder by the stems of their names, however they are sorted there."""

    def __init__(self, root: Path, suffixes: frozenset[str] = VIDEO_SUFFIXES) -> None:
        self._root = root
        self._found: dict[str, list[Entry]] = {}
        if not root.is_dir():
            raise PackError(f"{root}: no such folder; --root names the folder of the videos")
        for entry in folder_entries(root, suffixes):
            self._found.setdefault(entry.path.stem, []).append(entry)

    def entry(self, stem: str, suffix: str) -> Entry:
        """The video of this name, whatever its suffix; where it has none, what will be rejected.

        `suffix` is the one that the set was published with.
        """
        found = self._found.get(stem, [])
        if not found:
            file = stem + suffix
            return Entry(source=file, path=self._root / file, name=stem)
        entry = replace(found[0], label=None, name=stem)
        if len(found) > 1:
            detail = f"{entry.source} and {found[1].source} are both named so; keep one"
            return replace(entry, left_out=("ambiguous", detail))
        return entry

    def unread(self) -> Iterator[Entry]:
        """The places below the folder that were not looked into."""
        every = (entry for found in self._found.values() for entry in found)
        return (entry for entry in every if entry.left_out is not None)

    def listed(self, entries: list[Entry], classes: tuple[str, ...]) -> Listed:
        """The list, with the places in which those of its videos may lie that are missing."""
        named = {entry.source for entry in entries}
        hidden = [entry for entry in self.unread() if entry.source not in named]
        return Listed(entries=entries + hidden, classes=classes)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Seconds from when an action begins, negative before it."""

    begin: float
    end: float

    @classmethod
    def parse(cls, text: str) -> "Window":
        """A window from text such as `-5:-1`."""
        try:
            begin, end = (float(part) for part in text.split(":"))
        except ValueError:
            begin, end = 0.0, 0.0
        if not -1e9 < begin < end < 1e9:
            raise PackError(f"--window {text}: write BEGIN:END in seconds, such as -5:-1")
        return cls(begin=begin, end=end)

    def around(self, entry: Entry) -> Entry:
        """The entry with this window in place of its action, as far as the video has it.

        Where the video begins after the window's end, it is the first picture.
        """
        if entry.left_out is not None:
            return entry
        if entry.start is None:
            raise PackError(f"--window: {entry.source} is listed without a start; leave it out")
        begin, end = max(0.0, entry.start + self.begin), entry.start + self.end
        return replace(entry, start=round(begin, 6), end=max(round(end, 6), FIRST_PICTURE_S))
