"""DROID as it was recorded (raw, 1.0.1): a folder for each episode, with a film of each camera."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.probe import probe_ends
from worldmodel_train.data.trajectories.episode import episode_of
from worldmodel_train.data.trajectories.formats.extra import require
from worldmodel_train.data.trajectories.formats.recording import Film, Recording, named_films
from worldmodel_train.data.trajectories.formats.rotations import pose_changes
from worldmodel_train.data.trajectories.formats.tables import reading
from worldmodel_train.data.trajectories.verdict import BadEpisode

TRAJECTORY = "trajectory.h5"
CONTROL_HZ = 15.0
"""Rows and frames per second; the header of an mp4 may say 60."""
USUAL_CAMERA = "left"
_PATH = "_mp4_path"
_ROBOT = "observation/robot_state"


@dataclass(frozen=True, kw_only=True)
class DroidFolder:
    """Reads all episodes below a folder: of the whole set, of a lab, of its successes."""

    root: Path
    arguments: EpisodeArguments

    def entries(self) -> list[Entry]:
        """One for each episode."""
        require("h5py", "droid")
        folders = sorted(_episode_folders(self.root))
        if not folders:
            raise PackError(f"{self.root}: holds no {TRAJECTORY}; name a folder of DROID raw 1.0.1")
        names = [folder.relative_to(self.root).as_posix() for folder in folders]
        return [Entry(source=name, path=Path(name)) for name in names]

    def read(self, source: str) -> Recording:
        """One episode: actions are what changed of the state, as V-JEPA 2-AC takes them."""
        folder, every = self.root / source, self.arguments.every
        metadata = _metadata(folder)
        cameras = self.arguments.cameras or (USUAL_CAMERA,)
        videos = [_video(folder, metadata, camera) for camera in cameras]
        states = _states(folder / TRAJECTORY)
        count = min(_rows_with_a_frame(video, len(states)) for video in videos)
        kept = states[:count:every]
        if len(kept) < 2:
            raise BadEpisode("too_short", f"{len(kept)} of {count} rows are kept")
        rate = (self.arguments.fps or CONTROL_HZ) / every
        arrays = {"actions": pose_changes(kept), "states": kept}
        said = {
            "source": source,
            "camera": ",".join(cameras),
            "fps": rate,
            "task": str(metadata.get("current_task", "")),
            "success": bool(metadata.get("success")),
        }
        films = [Film(path=video, count=len(kept), fps=rate, every=every) for video in videos]
        episode = replace(episode_of(arrays), metadata=said)
        return Recording(episode=episode, films=named_films(cameras, films))


def _episode_folders(root: Path) -> list[Path]:
    """Folders with a trajectory, or with what only an episode has."""
    found = []
    for place, folders, files in os.walk(root):
        described = any(name.startswith("metadata_") for name in files)
        if TRAJECTORY in files or described or "recordings" in folders:
            found.append(Path(place))
            folders.clear()
    return found


def _metadata(folder: Path) -> Mapping[str, Any]:
    """What `metadata_<uuid>.json` says; raises BadEpisode."""
    files = sorted(folder.glob("metadata_*.json"))
    if len(files) != 1:
        raise BadEpisode("missing_metadata", f"{len(files)} files metadata_*.json")
    with reading(files[0]):
        said = json.loads(files[0].read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        raise BadEpisode("unreadable", f"{files[0].name}: is no JSON object")
    return said


def _video(folder: Path, metadata: Mapping[str, Any], camera: str) -> Path:
    """The film of a camera, of whose path in the metadata only the name counts."""
    said = metadata.get(camera + _PATH)
    if not isinstance(said, str):
        known = ", ".join(key.removesuffix(_PATH) for key in metadata if key.endswith(_PATH))
        raise BadEpisode("missing_camera", f"no {camera}; there are {known or 'none'}")
    path = folder / "recordings" / "MP4" / Path(said).name
    if not path.is_file():
        raise BadEpisode("missing_camera", f"{camera}: no file recordings/MP4/{path.name}")
    return path


def _states(path: Path) -> Float64[np.ndarray, "T 7"]:
    """Place, angles and gripper of each row; raises BadEpisode."""
    import h5py

    if not path.is_file():
        raise BadEpisode("missing_trajectory", f"no {path.name}")
    with reading(path), h5py.File(path, "r") as file:
        pose = np.asarray(file[f"{_ROBOT}/cartesian_position"], np.float64)
        gripper = np.asarray(file[f"{_ROBOT}/gripper_position"], np.float64)
    if pose.ndim != 2 or pose.shape[1] != 6 or gripper.ndim != 1:
        raise BadEpisode("wrong_array", f"poses {pose.shape}, gripper {gripper.shape}")
    if len(pose) != len(gripper):
        raise BadEpisode("length_mismatch", f"{len(pose)} poses, {len(gripper)} of the gripper")
    if not (np.isfinite(pose).all() and np.isfinite(gripper).all()):
        raise BadEpisode("not_finite", "states")
    return np.concatenate([pose, gripper[:, None]], axis=1)


def _rows_with_a_frame(video: Path, rows: int) -> int:
    """How many rows from the first on have a frame; raises BadEpisode or BadVideo.

    Frame n is of row n, whatever its time. Many films lack the last one.
    """
    frames = probe_ends(video, lambda: None).frames
    if not rows - 1 <= frames <= rows:
        raise BadEpisode("length_mismatch", f"{frames} frames beside {rows} rows")
    return frames
