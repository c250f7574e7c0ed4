"""HDF5 files: demonstrations as robomimic groups them, or arrays like those of OGBench and D4RL."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.trajectories.formats.extra import require
from worldmodel_train.data.trajectories.formats.recording import Recording
from worldmodel_train.data.trajectories.formats.tables import (
    Place,
    Table,
    files_of,
    in_order,
    places,
    reading,
    recording,
    split_source,
    table_entries,
)
from worldmodel_train.data.trajectories.verdict import BadEpisode

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True, kw_only=True)
class Hdf5Files:
    """Reads them, of each episode only its own rows."""

    root: Path
    arguments: EpisodeArguments

    def entries(self) -> list[Entry]:
        """One for each episode."""
        require("h5py", "hdf5")
        files = files_of(self.root, SUFFIXES)
        return [e for path in files for e in table_entries(self.root, path, _parts(path))]

    def read(self, source: str) -> Recording:
        """One episode."""
        import h5py

        name, part = split_source(source, SUFFIXES)
        path = self.root if self.root.is_file() else self.root / name
        with reading(path), h5py.File(path, "r") as file:
            demonstrations = _demonstrations(file)
            if demonstrations is not None:
                return recording(_table(demonstrations[part]), Place(), source, self.arguments)
            table = _table(file)
            return recording(table, places(table)[int(part or 0)], source, self.arguments)


def _parts(path: Path) -> list[str] | BadEpisode:
    """What the episodes of a file are called in it: nothing where it is one."""
    import h5py

    try:
        with reading(path), h5py.File(path, "r") as file:
            demonstrations = _demonstrations(file)
            if demonstrations is not None:
                return in_order(demonstrations)
            count = len(places(_table(file)))
    except BadEpisode as verdict:
        return verdict
    return [""] if count == 1 else [f"{number:06}" for number in range(count)]


def _demonstrations(file: "h5py.File") -> "dict[str, h5py.Group] | None":
    """The groups of `data` by name; None where there is no such group."""
    import h5py

    data = file.get("data")
    if not isinstance(data, h5py.Group):
        return None
    return {name: group for name, group in data.items() if isinstance(group, h5py.Group)}


def _table(group: "h5py.Group") -> Table:
    """All arrays below a group, by their paths from there."""
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    group.visititems(note)
    return found
