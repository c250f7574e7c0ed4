"""What a LeRobot dataset says of itself: its features, and where each episode lies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from worldmodel_train.data.packing.errors import PackError

INFO = "meta/info.json"
LISTED_V2 = "meta/episodes.jsonl"
LISTED_V3 = "meta/episodes"
_CHUNK = 1000  # episodes of a folder, where info.json does not say


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The part of a video that shows an episode, in seconds of its own time."""

    path: Path
    start_s: float
    end_s: float | None
    """None where the episode is all of the video."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One episode: its rows lie in `data`, among others' where `shared`."""

    number: int
    length: int
    tasks: tuple[str, ...]
    data: Path
    videos: Mapping[str, Stretch]


@dataclass(frozen=True, kw_only=True)
class Meta:
    """A dataset."""

    fps: float
    kinds: Mapping[str, str]
    """What each feature is, by name: `video`, `image`, `float32` ..."""
    episodes: Mapping[str, Listed]
    """By what they are called here."""

    @property
    def cameras(self) -> list[str]:
        """Features that are pictures."""
        return [name for name, kind in self.kinds.items() if kind in ("video", "image")]


@lru_cache(maxsize=1)
def read_meta(root: Path) -> Meta:
    """The dataset in a folder; PackError where there is none, or one of another version."""
    info = _json_object(root / INFO)
    version = str(info.get("codebase_version", ""))
    try:
        features: Mapping[str, Any] = info["features"]
        kinds = {name: str(feature["dtype"]) for name, feature in features.items()}
        films = [name for name, kind in kinds.items() if kind == "video"]
        if version.startswith("v2"):
            listed = list(_listed_v2(root, info, films))
        elif version.startswith("v3"):
            listed = list(_listed_v3(root, info, films))
        else:
            raise PackError(f"{root / INFO}: codebase_version {version}; v2.x and v3.x are read")
        fps = float(info["fps"])
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        if isinstance(error, PackError):
            raise
        raise PackError(f"{root}: is no LeRobot dataset: {type(error).__name__} {error}") from error
    if not 0 < fps <= 1000:
        raise PackError(f"{root / INFO}: fps {fps:g}; a rate above 0 is needed")
    names = {f"episode_{one.number:06d}": one for one in listed}
    return Meta(fps=fps, kinds=kinds, episodes=names)


def _listed_v2(root: Path, info: Mapping[str, Any], films: Sequence[str]) -> Iterator[Listed]:
    """A parquet and a video of each camera for each episode."""
    per_chunk = int(info.get("chunks_size", _CHUNK))
    for said in _json_lines(root / LISTED_V2):
        number = int(said["episode_index"])
        place = {"episode_chunk": number // per_chunk, "episode_index": number}
        videos = {
            film: Stretch(
                path=_below(root, info["video_path"].format(video_key=film, **place)),
                start_s=0.0,
                end_s=None,
            )
            for film in films
        }
        yield Listed(
            number=number,
            length=int(said["length"]),
            tasks=tuple(map(str, said.get("tasks", ()))),
            data=_below(root, info["data_path"].format(**place)),
            videos=videos,
        )


def _listed_v3(root: Path, info: Mapping[str, Any], films: Sequence[str]) -> Iterator[Listed]:
    """Several episodes in each file; `meta/episodes` says which, and from when to when."""
    for said in _episode_rows(root, films):
        yield Listed(
            number=int(said["episode_index"]),
            length=int(said["length"]),
            tasks=tuple(map(str, said.get("tasks") or ())),
            data=_below(root, info["data_path"].format(**_file_of(said, "data"))),
            videos={film: _stretch_v3(root, info, said, film) for film in films},
        )


def _episode_rows(root: Path, films: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((root / LISTED_V3).rglob("*.parquet"))
    if not files:
        raise PackError(f"{root / LISTED_V3}: holds no .parquet")
    videos = (f"videos/{film}/{what}" for film in films for what in _OF_A_FILM)
    wanted = {"episode_index", "length", "tasks", "data/chunk_index", "data/file_index", *videos}
    for path in files:
        try:
            there = pq.read_schema(path).names
            rows = pq.read_table(path, columns=[name for name in there if name in wanted])
        except (pa.ArrowException, OSError) as error:
            raise PackError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
        yield from rows.to_pylist()


_OF_A_FILM = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")


def _file_of(said: Mapping[str, Any], what: str) -> dict[str, int]:
    names = ("chunk_index", "file_index")
    return {name: int(said[f"{what}/{name}"]) for name in names}


def _stretch_v3(root: Path, info: Mapping[str, Any], said: Mapping[str, Any], film: str) -> Stretch:
    what = f"videos/{film}"
    path = info["video_path"].format(video_key=film, **_file_of(said, what))
    return Stretch(
        path=_below(root, path),
        start_s=float(said[f"{what}/from_timestamp"]),
        end_s=float(said[f"{what}/to_timestamp"]),
    )


def _below(root: Path, name: str) -> Path:
    """The file of that name in the dataset; PackError for a name that leads out of it."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise PackError(f"{root / INFO}: {name} is a path out of the dataset")
    return root / path


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PackError(f"{path}: no such file; name the folder of a LeRobot dataset") from None
    except ValueError as error:
        raise PackError(f"{path}: is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise PackError(f"{path}: is no JSON object")
    return said


def _json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise PackError(f"{path}: no such file; a dataset of v2 lists its episodes there") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError as error:
            raise PackError(f"{path}, line {number}: is no JSON: {error}") from error
