"""The videos of a folder, and the places in it that were not looked into."""

import os
import stat
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Literal

from worldmodel_train.data.audio_files import AUDIO_SUFFIXES
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_WHAT = {
    VIDEO_SUFFIXES: ("videos", "add --images for pictures, --audio for recordings of sound"),
    IMAGE_SUFFIXES: ("pictures", "for videos leave out --images"),
    AUDIO_SUFFIXES: ("recordings of sound", "for videos leave out --audio"),
}
"""What files of these suffixes are, and what to do where a folder has none."""


def folder_entries(folder: Path, suffixes: frozenset[str] = VIDEO_SUFFIXES) -> list[Entry]:
    """Every video under `folder` in sorted order; a subfolder's name is its videos' label.

    Those of other suffixes are not looked at: there may be pictures beside videos that show them.

    Folders that cannot be listed, links to folders (never followed: they may lead round in a
    circle) and links that lead nowhere are entries too, `left_out` with the reason. Hidden files
    and folders are no part of the set.
    """
    entries = sorted(_walk(folder, suffixes), key=lambda entry: entry.path.relative_to(folder))
    if not entries:
        what, hint = _WHAT[suffixes]
        raise PackError(f"{folder}: holds no {what} ({' '.join(sorted(suffixes))}); {hint}")
    return entries


def _walk(folder: Path, suffixes: Set[str]) -> Iterator[Entry]:
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as listing:
                children = [child for child in listing if not child.name.startswith(".")]
        except OSError as error:
            if place == folder:
                raise PackError(f"{folder}: cannot be listed ({error.strerror})") from None
            detail = f"the folder cannot be listed ({error.strerror})"
            yield _entry(folder, place, ("unreadable", detail))
            continue
        for child in children:
            path, kind = Path(child.path), _kind(child)
            if kind == "folder":
                waiting.append(path)
            elif kind == "link" and (left_out := _left_out(path)):
                yield _entry(folder, path, left_out)
            elif path.suffix.lower() in suffixes:
                yield _entry(folder, path, None)


def _kind(child: os.DirEntry[str]) -> Literal["folder", "link", "other"]:
    try:
        if child.is_symlink():
            return "link"
        return "folder" if child.is_dir(follow_symlinks=False) else "other"
    except OSError:  # what cannot be looked at is rejected later, if its name is a video's
        return "other"


def _left_out(link: Path) -> tuple[str, str] | None:
    """Why a link is no video, whatever its name; None where it leads to a file."""
    try:
        target = link.stat().st_mode
    except OSError as error:
        return "link", f"leads nowhere ({error.strerror})"
    if stat.S_ISDIR(target):
        return "link", "leads to a folder, which is not followed; pack that folder, or list videos"
    return None


def _entry(folder: Path, path: Path, left_out: tuple[str, str] | None) -> Entry:
    inside = path.relative_to(folder)
    label = inside.parent.name if len(inside.parts) > 1 else None
    return Entry(source=inside.as_posix(), path=path, label=label, left_out=left_out)
