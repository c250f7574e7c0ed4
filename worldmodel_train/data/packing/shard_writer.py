"""Writes one tar shard: in a scratch folder, synced, then renamed to its place."""

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from worldmodel_train.data.atomic_file import sync_folder
from worldmodel_train.data.packing.prepare import CHUNK
from worldmodel_train.data.packing.prepared import Prepared

BLOCK = tarfile.BLOCKSIZE
Files = Mapping[str, Path | bytes]
"""Contents, or where these are, by suffix."""


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
        """Append `<key><suffix>` for each file of the sample."""
        self.add_files(key, sample.files)
        self.seconds += sample.seconds

    def add_files(self, key: str, files: Files) -> None:
        """Append `<key><suffix>` for each suffix."""
        for suffix, content in files.items():
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as file:
                self._tar.addfile(_member(key + suffix, _size(content)), file)
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


def sample_size(sample: Prepared) -> int:
    """Bytes the sample takes in a tar: headers and bodies, padded to blocks."""
    return sum(BLOCK + -(-_size(file) // BLOCK) * BLOCK for file in sample.files.values())


def closed_size(content: int) -> int:
    """Bytes of a tar of so much content once its end mark is written, padded to whole records."""
    return -(-(content + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def _size(content: Path | bytes) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, 0, 0o644
    return member
