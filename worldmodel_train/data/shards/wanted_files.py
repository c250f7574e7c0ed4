"""Which files of a sample are wanted: a kind of data reads some, and must have some."""

from collections.abc import Mapping
from dataclasses import dataclass

from worldmodel_train.data.audio_files import AUDIO_SUFFIXES
from worldmodel_train.data.shards.shard_table import ShardSample
from worldmodel_train.data.shards.tar_members import Span
from worldmodel_train.data.video_files import (
    IMAGE_SUFFIXES,
    JSON_LIMIT,
    MEMBER_LIMIT,
    VIDEO_SUFFIXES,
)

VIDEO = "video"
"""Stands for the first of a sample's files whose extension is a video's, of a camera or not."""
ALL_VIDEOS = "all videos"
"""Stands for all videos, each by its own extension; instead of `VIDEO`, from local shards only."""
VIDEO_EXTENSIONS = frozenset(suffix[1:] for suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES)
AUDIO = "audio"
"""Stands for the first of a sample's files whose extension is that of a recording of sound."""
AUDIO_EXTENSIONS = frozenset(suffix[1:] for suffix in AUDIO_SUFFIXES)


@dataclass(frozen=True, kw_only=True)
class WantedFiles:
    """Files of a sample, each by its extension or as `VIDEO`, a camera's video or `AUDIO`."""

    needed: tuple[str, ...]
    """Without one of these a sample is left out as `missing_<name>`."""
    read: tuple[str, ...]
    """What is read, where it is there; nothing else of a sample costs anything."""

    def spans(self, sample: ShardSample) -> dict[str, Span]:
        """Where what is read lies, by name."""
        found = {name: self.span_of(sample.spans, name) for name in self.read}
        if ALL_VIDEOS in self.read:
            found |= {one: span for one, span in sample.spans.items() if is_video(one)}
        return {name: span for name, span in found.items() if span is not None}

    def span_of(self, spans: Mapping[str, Span], name: str) -> Span | None:
        """Where the file of this name lies; None where the sample has none."""
        if name == AUDIO:
            return next((spans[one] for one in spans if one in AUDIO_EXTENSIONS), None)
        if names_video(name):
            camera = name.rpartition(".")[0]
            return next((spans[one] for one in spans if _shows(one, camera)), None)
        return spans.get(name)

    def problem(self, sample: ShardSample) -> str:
        """Why a sample cannot be used; empty where it can."""
        if sample.problem:
            return sample.problem
        missing = (name for name in self.needed if self.span_of(sample.spans, name) is None)
        absent = next(missing, None)
        if absent is not None:
            return "missing_camera" if absent.endswith(f".{VIDEO}") else f"missing_{absent}"
        too_large = any(span.size > limit(name) for name, span in self.spans(sample).items())
        return "too_large" if too_large else ""


VIDEOS = WantedFiles(needed=(VIDEO, "json"), read=(VIDEO,))
DESCRIBED_VIDEOS = WantedFiles(needed=(VIDEO, "json"), read=(VIDEO, "json"))
RECORDINGS = WantedFiles(needed=(AUDIO,), read=(AUDIO,))
DESCRIBED_RECORDINGS = WantedFiles(needed=(AUDIO, "json"), read=(AUDIO, "json"))
EPISODES = WantedFiles(needed=("npz",), read=("npz",))
FILMED_EPISODES = WantedFiles(needed=("npz", VIDEO), read=("npz", VIDEO))


def video_of(camera: str) -> str:
    """Stands for a camera's video: `left` for `<key>.left.mp4`."""
    return f"{camera.lower()}.{VIDEO}"


def names_video(name: str) -> bool:
    """Whether a name stands for a video, of a camera or not: `VIDEO`, what `video_of` gives."""
    return name.rpartition(".")[2] == VIDEO


def is_video(extension: str) -> bool:
    """Whether a file is a video, of a camera or not: `mp4`, `left.mp4`."""
    return extension.rpartition(".")[2] in VIDEO_EXTENSIONS


def _shows(extension: str, camera: str) -> bool:
    return is_video(extension) and camera in ("", extension.rpartition(".")[0])


def limit(name: str) -> int:
    """The most bytes that such a file may have."""
    return JSON_LIMIT if name == "json" else MEMBER_LIMIT
