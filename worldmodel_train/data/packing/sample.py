"""The files of one sample inside a shard: `<key>.mp4` and `<key>.json`."""

import hashlib
import json
import re
from typing import Annotated

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.packing.entry import Entry

LONGEST_STEM = 60  # a tar name holds 100 characters without an extension record


class SampleInfo(StrictConfig):
    """What `<key>.json` says of the video beside it."""

    fps: Annotated[float, Field(gt=0)]
    """Average frames per second."""
    frames: Annotated[int, Field(gt=0)]
    width: Annotated[int, Field(gt=0)]
    """Pixels as stored, before any rotation the container asks for."""
    height: Annotated[int, Field(gt=0)]
    duration: Annotated[float, Field(gt=0)]
    """Seconds."""
    codec: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Hash of the video file of this sample."""
    label: str | None = None
    labels: tuple[str, ...] | None = None
    """Several classes; left out of the json where there are none."""
    caption: str | None = None
    source: str
    """The path it was packed from."""
    start: float | None = None
    """Where the clip begins in its source, seconds; null when from the first frame."""
    end: float | None = None

    def to_json(self) -> bytes:
        """The bytes of the sample's json file; the same for the same information."""
        # without labels the bytes stay those of sets that were packed before there were any
        left_out = {"labels"} if self.labels is None else None
        return (json.dumps(self.model_dump(exclude=left_out), ensure_ascii=False) + "\n").encode()


def sample_key(entry: Entry) -> str:
    """A name without dots, slashes or leading dashes, unique to source, time span and name."""
    identity = f"{entry.source}\0{entry.start}\0{entry.end}"
    if entry.name is not None:
        identity += f"\0{entry.name}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    file = entry.source.replace("\\", "/").rsplit("/", 1)[-1]
    stem = entry.name or file.rsplit(".", 1)[0]
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:LONGEST_STEM].strip("_-")
    return f"{safe or 'video'}-{digest}"


def content_id(entry: Entry, sha256: str) -> str:
    """What no two samples of a set share: the hash of the file, and the name if it has one."""
    if entry.name is None:
        return sha256
    return hashlib.sha256(f"{sha256}\0{entry.name}".encode()).hexdigest()
