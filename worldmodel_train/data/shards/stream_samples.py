"""The samples of a streamed tar, in the order in which they come."""

import http.client
import tarfile
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase

from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.stream_open import open_stream, read_to_end
from worldmodel_train.data.shards.tar_index import VIDEO_EXTENSIONS, split_name
from worldmodel_train.data.video_files import MEMBER_LIMIT
from worldmodel_train.types import Skip

Item = EncodedSample | Skip


def stream_samples(shard: str, timeout_s: float) -> Iterator[Item]:
    """The samples of one streamed tar, the bad ones as Skip; never raises for a bad shard."""
    empty = True
    try:
        with open_stream(shard, timeout_s) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for item in _grouped(shard, tar):
                    empty = False
                    yield item
            read_to_end(stream)
    except tarfile.ReadError as error:
        yield Skip("empty_shard" if "empty file" in str(error) else "truncated_shard", shard, "")
    except (tarfile.TarError, OSError, EOFError, http.client.HTTPException) as error:
        # an URLError holds what stopped it
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        reason = "stalled_shard" if isinstance(cause, TimeoutError) else "unreadable_shard"
        yield Skip(reason, shard, str(error)[:200])
    else:
        if empty:
            yield Skip("empty_shard", shard, "")


@dataclass
class _Group:
    """The consecutive files of one key; together no larger than one video may be."""

    key: str
    room: int
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, extension: str) -> None:
        if extension != "json" and extension not in VIDEO_EXTENSIONS:
            return
        self.room -= member.size
        if self.room < 0:
            return
        file = tar.extractfile(member)
        assert isinstance(file, BufferedIOBase)
        self.files[extension] = file.read()

    def item(self, shard: str) -> Item:
        if self.room < 0:
            return Skip("too_large", shard, self.key)
        video = next((self.files[e] for e in self.files if e in VIDEO_EXTENSIONS), None)
        if video is None:
            return Skip("missing_video", shard, self.key)
        if "json" not in self.files:
            return Skip("missing_json", shard, self.key)
        return EncodedSample(key=self.key, shard=shard, video=video)


def _grouped(shard: str, tar: tarfile.TarFile) -> Iterator[Item]:
    """Consecutive files of one key make a sample."""
    group: _Group | None = None
    for member in tar:
        if not member.isreg():
            continue
        sample_key, extension = split_name(member.name)
        if group is None or sample_key != group.key:
            if group is not None:
                yield group.item(shard)
            group = _Group(sample_key, room=MEMBER_LIMIT)
        group.add(tar, member, extension)
    if group is not None:
        yield group.item(shard)
