"""What a packing run has finished, so that the same command resumes after a kill."""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.json_text import JsonError, parse_model
from worldmodel_train.config.sealed_json import SealError, sealed, unsealed
from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.data.packing.encode import EncodeConfig
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.shards.shard_table import ShardTable
from worldmodel_train.data.shards.tar_index import read_shard_table

ModelT = TypeVar("ModelT", bound=StrictConfig)

_log = logging.getLogger(__name__)

_DAMAGED = "the journal is damaged; pack into an empty folder"


class PackArguments(StrictConfig):
    """What decides the bytes of the shards, besides the videos."""

    shard_size: Annotated[int, Field(ge=1)] = 1_000_000_000
    """Bytes a shard may have; only a single larger sample makes it larger."""
    encode: EncodeConfig | None = None
    """Null packs the files as they are."""
    episodes: EpisodeArguments | None = None
    """How episodes are read; null where samples are videos."""
    samples: Literal["videos", "recordings"] = "videos"
    """What samples are that are no episodes; `recordings` are of sound."""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Of videos without what came later: the bytes stay those of sets packed before it."""
        values = handler(self)
        if self.episodes is None:
            del values["episodes"]
        if self.samples == "videos":
            del values["samples"]
        return values


class ShardRecord(StrictConfig):
    """One finished shard, as `index.json` lists it."""

    name: str
    samples: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Begun(StrictConfig):
    """`journal/arguments.json`: what was begun; nothing else goes on in its folder."""

    arguments: PackArguments
    entries: Annotated[int, Field(ge=0)]
    entries_sha256: str


class Reject(StrictConfig):
    """One line of `rejects.jsonl`."""

    path: str
    start: float | None = None
    end: float | None = None
    reason: str
    detail: str


class Chapter(StrictConfig):
    """What one stretch of entries became: a shard (none at the end of the list) and rejects."""

    next_entry: Annotated[int, Field(ge=0)]
    shard: ShardRecord | None
    seconds: float
    contents: dict[str, str]
    """What each sample is alone with (`content_id`) -> key, to know duplicates by."""
    rejects: tuple[Reject, ...]


class Index(StrictConfig):
    """`index.json`: what a finished set of shards holds."""

    version: Annotated[int, Field(ge=1, le=1)] = 1
    shards: tuple[ShardRecord, ...]
    samples: Annotated[int, Field(ge=0, lt=1 << 62)]
    seconds: Annotated[float, Field(ge=0)]
    arguments: PackArguments


def _rows_of(out: Path, shard: ShardRecord) -> Path:
    """The file in which a journal keeps where the samples of a finished shard lie."""
    return out / "journal" / f"{shard.name}.rows"


def samples_of(out: Path, shard: ShardRecord, tar: Path) -> ShardTable:
    """Where the samples of a finished shard lie, as the journal in `out` noted it.

    Rows that are damaged, or of an older version of this program, are found by a scan of `tar`.
    """
    rows = _rows_of(out, shard)
    try:
        return ShardTable.from_bytes(rows.read_bytes(), shard.samples)
    except (FileNotFoundError, ValueError) as error:
        _log.warning("%s: %s; scanning %s in its place", rows, error, tar)
    table = read_shard_table(tar)
    if len(table) != shard.samples:
        raise PackError(f"{tar}: holds {len(table)} samples, not {shard.samples}; pack it again")
    return table


class Journal:
    """The folder `OUT/journal`: the arguments, and one file for each finished shard."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.folder = out / "journal"

    def open(self, arguments: PackArguments, entries: Sequence[Entry]) -> list[Chapter]:
        """The chapters of an earlier run with the same arguments; none in a fresh folder.

        Raises PackError where the folder holds another set, or a finished shard is gone.
        """
        wanted = Begun(
            arguments=arguments, entries=len(entries), entries_sha256=fingerprint(entries)
        )
        path = self.folder / "arguments.json"
        if not path.exists():
            self._require_fresh()
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, sealed(json.dumps(wanted.model_dump(), indent=1)).encode())
            return []
        _require_same(_read(Begun, path), wanted, self._out)
        return list(self._chapters())

    def append(self, number: int, chapter: Chapter) -> None:
        """Record a finished chapter, and where the samples of its shard lie."""
        if chapter.shard is not None:
            table = read_shard_table(self._out / chapter.shard.name)
            write_atomically(_rows_of(self._out, chapter.shard), table.to_bytes())
        path = self.folder / f"chapter-{number:06d}.json"
        write_atomically(path, sealed(chapter.model_dump_json()).encode())

    def table(self, shard: ShardRecord) -> ShardTable:
        """Where the samples of a finished shard lie."""
        return samples_of(self._out, shard, self._out / shard.name)

    def _require_fresh(self) -> None:
        """Refuse a folder with files that packing would write over."""
        ours = ("*.tar", "index.json", "samples.idx", "rejects.jsonl", "journal/chapter-*.json")
        strangers = sorted(path for pattern in ours for path in self._out.glob(pattern))
        if strangers:
            name = strangers[0].relative_to(self._out)
            raise PackError(f"{self._out}: holds {name} without a journal; use an empty folder")

    def _chapters(self) -> Iterator[Chapter]:
        for number, path in enumerate(sorted(self.folder.glob("chapter-*.json"))):
            chapter = _read(Chapter, path)
            if path.name != f"chapter-{number:06d}.json":
                raise PackError(f"{self.folder}: chapter {number} is missing; use an empty folder")
            self._require_shard(chapter.shard)
            yield chapter

    def _require_shard(self, record: ShardRecord | None) -> None:
        if record is None:
            return
        shard = self._out / Path(record.name).name
        if not shard.is_file() or shard.stat().st_size != record.bytes:
            raise PackError(
                f"{shard}: was finished by an earlier run and is gone or has another size; "
                "put it back, or pack into an empty folder"
            )


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """While it lasts, no other process packs into `out`."""
    lock = _lock(out)
    try:
        yield
    finally:
        os.close(lock)


def _lock(out: Path) -> int:
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise PackError(f"{out}: cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise PackError(f"{out}: another process is packing into it") from None
    return lock


def fingerprint(entries: Sequence[Entry]) -> str:
    """What tells a list of entries from another one."""
    digest = hashlib.sha256()
    for e in entries:
        what = [e.source, e.label, e.caption, e.start, e.end]
        # names and labels came later: lists without them are what they were
        what += [] if e.name is None and e.labels is None else [e.name, e.labels]
        digest.update(json.dumps(what).encode())
    return digest.hexdigest()


def read_chapters(out: Path) -> Iterator[Chapter]:
    """The chapters of a finished set, in no certain order; PackError where one is damaged."""
    return (_read(Chapter, path) for path in (out / "journal").glob("chapter-*.json"))


def _read(model: type[ModelT], path: Path) -> ModelT:
    """A file of the journal; those of older versions have no checksum."""
    try:
        content = path.read_bytes()
        return parse_model(model, unsealed(content) or content, path)
    except JsonError as error:
        raise PackError(f"{error}: {_DAMAGED}") from None
    except SealError as error:
        raise PackError(f"{path}: {error}: {_DAMAGED}") from None


def _require_same(found: Begun, wanted: Begun, out: Path) -> None:
    if found == wanted:
        return
    if found.arguments != wanted.arguments:
        what = "other arguments"
        then, now = found.arguments.model_dump(), wanted.arguments.model_dump()
    else:
        what = "another list of videos"
        then, now = found.entries, wanted.entries
    raise PackError(
        f"{out}: was begun with {what} ({then} then, {now} now); "
        "repeat that command, or pack into an empty folder"
    )
