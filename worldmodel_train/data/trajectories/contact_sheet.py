"""A picture of a folder of episodes: episodes as rows, six moments of each as columns."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from worldmodel_train.data.packing.contact_sheet import (
    MOMENTS,
    Row,
    thumbnail,
    write_sheet,
)
from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.packing.probe import open_video
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.wanted_files import VIDEO, WantedFiles
from worldmodel_train.data.trajectories.config import EPISODE_MB
from worldmodel_train.data.trajectories.episode import Episode, read_episode

_WANTED = WantedFiles(needed=("npz",), read=("npz", VIDEO, "json"))


def write_episode_sheet(out: Path, target: Path, episodes: int) -> None:
    """Write a PNG of episodes spread evenly over the folder; PackError where one is broken."""
    files = ShardSet([str(path) for path in sorted(out.glob("*.tar"))])
    rows = [_row(out, files, number) for number in _spread(len(files), episodes)]
    write_sheet(out, target, f"{len(files)} episodes", rows)


def _row(out: Path, files: ShardSet, number: int) -> Row:
    """One episode of the sheet."""
    try:
        sample = files.sample(number, _WANTED)
        episode = read_episode(sample, most_bytes=EPISODE_MB << 20)
    except SampleError as error:
        raise PackError(_broken(error.skip.key, error.skip.reason, out)) from error
    try:
        pictures = _pictures(sample, episode)
    except BadVideo as error:
        raise PackError(_broken(sample.key, str(error), out)) from error
    facts = f"{episode.length} observations", f"{episode.actions.shape[1]} numbers an action"
    return Row(key=sample.key, label=_task(sample), facts=facts, pictures=pictures)


def _broken(key: str, reason: str, out: Path) -> str:
    return f"{key}: {reason}; see `wmt data check {out}`"


def _task(sample: EncodedSample) -> str:
    """What the episode is said to show; its json may say anything, or be none."""
    try:
        said = json.loads(sample.files.get("json", b"{}"))
    except ValueError:
        return "no task"
    return str((said.get("task") if isinstance(said, dict) else None) or "no task")


def _pictures(sample: EncodedSample, episode: Episode) -> tuple[UInt8[np.ndarray, "h w 3"], ...]:
    """Frames at moments from the first to the last, as thumbnails; none of what is no picture."""
    wanted = _spread(episode.length, MOMENTS)
    if VIDEO in sample.files:
        return _filmed(sample.files[VIDEO], wanted)
    frames = episode.observations
    if frames is None or frames.ndim != 4:
        return ()
    return tuple(_small(frames[number]) for number in wanted)


def _filmed(video: bytes, wanted: Sequence[int]) -> tuple[UInt8[np.ndarray, "h w 3"], ...]:
    with open_video(io.BytesIO(video)) as (container, stream):
        chosen = set(wanted)
        frames = enumerate(container.decode(stream))
        return tuple(
            _small(f.to_ndarray(format="rgb24").astype(np.uint8)) for n, f in frames if n in chosen
        )


def _small(picture: UInt8[np.ndarray, "_ _ c"]) -> UInt8[np.ndarray, "h w 3"]:
    size = thumbnail(picture.shape[1], picture.shape[0])
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)
    shown = small[..., : 3 if small.shape[-1] >= 3 else 1]  # of two channels one, as of one
    return np.broadcast_to(shown, (*size[::-1], 3)).astype(np.uint8)


def _spread(length: int, count: int) -> list[int]:
    return sorted(set(np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()))
