"""LeRobot's datasets: v2, a parquet and an mp4 for each episode, and v3, several in each file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.probe import probe_ends
from worldmodel_train.data.trajectories.formats.extra import require
from worldmodel_train.data.trajectories.formats.lerobot_meta import Listed, Meta, Stretch, read_meta
from worldmodel_train.data.trajectories.formats.recording import (
    Film,
    Recording,
    Rows,
    episode_of_rows,
    in_floats,
    named_films,
)
from worldmodel_train.data.trajectories.formats.tables import reading
from worldmodel_train.data.trajectories.verdict import BadEpisode

ACTION, STATE, REWARD, DONE = "action", "observation.state", "next.reward", "next.done"
_CLOCK = ("episode_index", "timestamp")


@dataclass(frozen=True, kw_only=True)
class LeRobotFolder:
    """Reads a dataset of either version."""

    root: Path
    arguments: EpisodeArguments

    def entries(self) -> list[Entry]:
        """One for each episode."""
        require("pyarrow", "lerobot")
        meta = read_meta(self.root)
        self._observed(meta)
        for name in (ACTION, *self._states(meta)):
            if name not in meta.kinds:
                raise PackError(f"{self.root}: has no {name}; there are {_named(meta.kinds)}")
        return [Entry(source=name, path=Path(name)) for name in meta.episodes]

    def read(self, source: str) -> Recording:
        """One episode."""
        meta = read_meta(self.root)
        listed, cameras, states = meta.episodes[source], self._observed(meta), self._states(meta)
        observed, kind = cameras[0], meta.kinds[cameras[0]]
        names = [ACTION, *states, *(name for name in (REWARD, DONE) if name in meta.kinds)]
        in_film = kind == "video"
        columns = _columns(listed, names if in_film else [*names, observed])
        _require_clock(columns[_CLOCK[1]], meta.fps)
        numbers = {name: _numbers(name, columns[name]) for name in names}
        rows = Rows(
            actions=numbers[ACTION],
            observations=None if in_film else _observations(columns[observed], observed, kind),
            states=in_floats([numbers[name] for name in states]) if states else None,
            rewards=numbers.get(REWARD),
            dones=numbers.get(DONE),
        )
        said = {
            "source": source,
            "camera": ",".join(cameras),
            "fps": meta.fps,
            "task": "; ".join(listed.tasks),
        }
        episode = episode_of_rows(rows, said)
        films = [_film(listed.videos[name], listed, meta) for name in cameras if in_film]
        short = [name.rpartition(".")[2] for name in cameras]
        return Recording(episode=episode, films=named_films(short, films) if in_film else {})

    def _observed(self, meta: Meta) -> tuple[str, ...]:
        """The features that are observed; PackError where one is not there, or several could be."""
        found = tuple(self._feature(name, meta) for name in self.arguments.cameras)
        if len(found) > 1 and any(meta.kinds[name] != "video" for name in found):
            raise PackError(f"--camera {self.arguments.camera}: several must be videos; name one")
        if found or len(meta.cameras) == 1:
            return found or tuple(meta.cameras)
        raise PackError(f"{self.root}: choose by --camera: {_named(meta.cameras or meta.kinds)}")

    def _feature(self, wanted: str, meta: Meta) -> str:
        for name in (wanted, f"observation.images.{wanted}", f"observation.{wanted}"):
            if name in meta.kinds:
                return name
        raise PackError(f"--camera {wanted}: not there; there are {_named(meta.kinds)}")

    def _states(self, meta: Meta) -> tuple[str, ...]:
        if self.arguments.states is not None:
            return self.arguments.states
        return (STATE,) if STATE in meta.kinds else ()


def _columns(listed: Listed, names: Sequence[str]) -> Mapping[str, Shaped[np.ndarray, "..."]]:
    """The rows of an episode; raises BadEpisode."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(listed.data):
        try:
            rows = pq.read_table(
                listed.data,
                columns=[*_CLOCK, *names],
                filters=[("episode_index", "=", listed.number)],
            )
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error
        columns = {name: np.asarray(rows[name].to_pylist()) for name in (_CLOCK[1], *names)}
    if len(rows) != listed.length:
        raise BadEpisode("length_mismatch", f"{len(rows)} rows, and {listed.length} are listed")
    return columns


def _require_clock(times: Shaped[np.ndarray, "..."], fps: float) -> None:
    """Raises BadEpisode where rows are not evenly spaced from 0 on, as the frames are."""
    expected = np.arange(len(times)) / fps
    if times.dtype.kind != "f" or np.abs(times - expected).max(initial=0.0) > 0.5 / fps:
        raise BadEpisode("timestamps", f"rows are not {fps:g} a second from 0 on")


def _film(stretch: Stretch, listed: Listed, meta: Meta) -> Film:
    """The frames of an episode; raises BadEpisode, or BadVideo where the video is none."""
    if not stretch.path.is_file():
        raise BadEpisode("missing_camera", f"no file {stretch.path.name}")
    if stretch.end_s is None:
        frames = probe_ends(stretch.path, lambda: None).frames
    else:
        if not 0 <= stretch.start_s < stretch.end_s < float("inf"):
            raise BadEpisode("timestamps", f"from {stretch.start_s:g} s to {stretch.end_s:g} s")
        frames = round((stretch.end_s - stretch.start_s) * meta.fps)
    if frames != listed.length:
        raise BadEpisode("length_mismatch", f"{frames} frames beside {listed.length} rows")
    return Film(path=stretch.path, count=frames, fps=meta.fps, start_s=stretch.start_s)


def _observations(
    column: Shaped[np.ndarray, "..."], name: str, kind: str
) -> Shaped[np.ndarray, "T ..."]:
    """What is not in a video: pictures in the rows themselves, or numbers."""
    if kind != "image":
        return in_floats([_numbers(name, column)])
    pictures = [_picture(item) for item in column]
    if len({picture.shape for picture in pictures}) > 1:
        raise BadEpisode("size", f"{name}: pictures of several sizes")
    return np.stack(pictures)


def _picture(item: Mapping[str, bytes | None]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of a row, in RGB."""
    content = item.get("bytes") or b""
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if found is None:
        raise BadEpisode("undecodable", "a row has no picture")
    return cv2.cvtColor(found, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _numbers(name: str, column: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    if column.dtype.kind not in "buif":
        raise BadEpisode("wrong_array", f"{name} holds more than numbers")
    return column


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
