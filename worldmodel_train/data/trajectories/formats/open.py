"""Which reader reads which format."""

from pathlib import Path

from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.trajectories.formats.droid import DroidFolder
from worldmodel_train.data.trajectories.formats.hdf5_files import Hdf5Files
from worldmodel_train.data.trajectories.formats.lerobot import LeRobotFolder
from worldmodel_train.data.trajectories.formats.npz_files import NpzFiles
from worldmodel_train.data.trajectories.formats.recording import EpisodeReader

_READERS = {
    "droid": DroidFolder,
    "hdf5": Hdf5Files,
    "lerobot": LeRobotFolder,
    "npz": NpzFiles,
}
_FILMED = ("droid", "lerobot")


def open_reader(root: Path, arguments: EpisodeArguments) -> EpisodeReader:
    """The reader of a folder; PackError where the folder is missing or an option does not suit."""
    if not root.exists():
        raise PackError(f"{root}: no such folder")
    _require_suiting(arguments)
    return _READERS[arguments.format](root=root, arguments=arguments)


def _require_suiting(arguments: EpisodeArguments) -> None:
    what = f"--format {arguments.format}"
    if arguments.every > 1 and arguments.format != "droid":
        raise PackError(
            f"--every {arguments.every}: only of droid are actions known across several rows; "
            "set `data.frameskip` in the recipe instead"
        )
    names = [name.rpartition(".")[2] for name in arguments.cameras]
    if len(names) > 1 and arguments.format not in _FILMED:
        raise PackError(f"--camera {arguments.camera}: {what} keeps one; name one")
    if len(set(names)) < len(names):
        raise PackError(f"--camera {arguments.camera}: a camera is named twice; name each once")
    if arguments.format == "droid" and arguments.states is not None:
        raise PackError(f"--states: goes with hdf5, npz and lerobot; {what} has its own")
    if arguments.format == "lerobot" and arguments.fps is not None:
        raise PackError(f"--fps: meta/info.json says it for {what}; leave it out")
    if arguments.format in _FILMED and any(side % 2 for side in arguments.size or ()):
        raise PackError(f"--resize: videos have even sides, and {what} becomes videos")
