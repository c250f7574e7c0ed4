"""Writes one tar shard: in a scratch folder, synced, then renamed to its place."""

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from worldmodel_train.data.atomic_file import sync_folder
from worldmodel_train.data.packing.prepare import CHUNK, Prepared

BLOCK = tarfile.BLOCKSIZE
Files = Mapping[str, bytes]
"""Contents by suffix."""


class ShardWriter:
    """A tar whose bytes depend only on the samples: no times, owners or modes of the machine."""

    def __init__(self, final: Path, scratch: Path) -> None:
        self.name = final.name
        self.samples = 0
        self.seconds = 0.0
        self._final = final
        self._temporary = scratch / final.name
        self._file = self._temporary.open("wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    @property
    def bytes(self) -> int:
        """Bytes written so far."""
        return self._tar.offset

    def add(self, key: str, sample: Prepared) -> None:
        """Append `<key><suffix>` and `<key>.json`."""
        with sample.video.open("rb") as video:
            self._tar.addfile(_member(key + sample.suffix, sample.video.stat().st_size), video)
        description = sample.info.to_json()
        self._tar.addfile(_member(f"{key}.json", len(description)), io.BytesIO(description))
        self.samples += 1
        self.seconds += sample.info.duration

    def add_files(self, key: str, files: Files) -> None:
        """Append `<key><suffix>` for each suffix."""
        for suffix, content in files.items():
            self._tar.addfile(_member(key + suffix, len(content)), io.BytesIO(content))
        self.samples += 1

    def finish(self) -> tuple[int, str]:
        """Bytes and SHA-256 of the finished shard, which now has its final name."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        digest = hashlib.sha256()
        with self._temporary.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        size = self._temporary.stat().st_size
        self._temporary.replace(self._final)
        sync_folder(self._final.parent)
        return size, digest.hexdigest()

    def abandon(self) -> None:
        """Remove what was written; a full disk gets its space back."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def sample_size(key: str, sample: Prepared) -> int:
    """Bytes the sample takes in a tar: two headers and two bodies, padded to blocks."""
    bodies = (sample.video.stat().st_size, len(sample.info.to_json()))
    return sum(BLOCK + -(-size // BLOCK) * BLOCK for size in bodies)


def closed_size(content: int) -> int:
    """Bytes of a tar of so much content once its end mark is written, padded to whole records."""
    return -(-(content + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, 0, 0o644
    return member
