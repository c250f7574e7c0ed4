"""Fills a folder with episodes; a filling that was cut goes on after its last whole episode.

Episodes lie one by one in a hidden folder until they make a shard. So a kill costs those that are
being acted out, and since an episode hangs on the seed and its number alone, the folder comes to
the same bytes whatever the kills.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeAlias

from worldmodel_train.collection.episode_files import EpisodeFiles
from worldmodel_train.collection.made_of import INDEX, MadeOf, made_of_bytes, read_made_of
from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.data.packing.journal import only_writer
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.tar_index import read_shard_table
from worldmodel_train.data.shards.wanted_files import EPISODES
from worldmodel_train.data.trajectories.write import (
    episode_sample,
    index_shards,
    shard_name,
    shard_numbers,
    write_shard,
)

OPEN = ".collecting"
"""Episodes that are no shard yet; gone when the folder is finished."""

ActOut: TypeAlias = Callable[[range], Iterator[bytes]]
"""The files of the episodes of these numbers, in order."""


def collect(
    folder: Path, made_of: MadeOf, *, episodes: int, act_out: ActOut, tell: Callable[[int], None]
) -> int:
    """Brings a folder to so many episodes; how many were there.

    `tell` is told how many there are, at the beginning and after each.

    Raises:
        ValueError: The folder holds other episodes or more of them, or another process writes.
    """
    with only_writer(folder):
        filling = _Filling(folder, made_of, episodes)
        kept = filling.done
        tell(kept)
        filling.close_shard()
        for content in act_out(range(kept, episodes)):
            filling.add(content)
            tell(filling.done)
        filling.finish()
    return kept


class _Filling:
    """The state of a folder: full shards, and the episodes of the one that comes next."""

    def __init__(self, folder: Path, made_of: MadeOf, episodes: int) -> None:
        self._folder, self._episodes = folder, episodes
        self._made_of = self._begun(made_of)
        self._open = EpisodeFiles(folder / OPEN)
        self._first = self._in_shards()
        """Of the open shard."""
        self._require_no_more()
        self._take_out_the_last()
        self.done = self._first + self._waiting()
        """Episodes that are there."""

    def add(self, content: bytes) -> None:
        """Keeps the next episode."""
        self._open.write(self.done, content)
        self.done += 1
        self.close_shard()

    def close_shard(self) -> None:
        """Makes a shard of the episodes that wait, if these are all that it will have."""
        last = min(self._first + self._made_of.per_shard, self._episodes)
        if not self._first < last == self.done:
            return
        numbers = range(self._first, last)
        name = shard_name(self._first // self._made_of.per_shard)
        samples = (
            episode_sample(number, self._open.read(number), self._metadata(number))
            for number in numbers
        )
        write_shard(self._folder / name, self._folder / OPEN, samples)
        self._first = last
        for number in numbers:
            self._open.remove(number)

    def finish(self) -> None:
        """Writes the index, and removes what was only for going on."""
        index_shards(self._folder)
        shutil.rmtree(self._folder / OPEN)

    def _begun(self, made_of: MadeOf) -> MadeOf:
        """Says what the folder is of, or requires that it is that; what it says."""
        before = read_made_of(self._folder)
        if before is None:
            if shard_numbers(self._folder):
                raise ValueError(f"{self._folder} holds shards of episodes; name another folder")
            write_atomically(self._folder / INDEX, made_of_bytes(made_of))
        elif different := before.differences(made_of):
            raise ValueError(
                f"{self._folder} holds other episodes ({'; '.join(different)}); name another folder"
            )
        (self._folder / OPEN).mkdir(exist_ok=True)
        return before or made_of

    def _in_shards(self) -> int:
        """Episodes of the shards that are there."""
        numbers, total = shard_numbers(self._folder), 0
        for expected, number in enumerate(numbers):
            count = len(read_shard_table(self._folder / shard_name(number)))
            whole = count == self._made_of.per_shard or number == numbers[-1]
            if number != expected or not whole:
                raise ValueError(
                    f"{self._folder / shard_name(expected)} is missing or cut; bring it back, or "
                    "collect into another folder"
                )
            total += count
        return total

    def _require_no_more(self) -> None:
        if self._first > self._episodes:
            raise ValueError(
                f"{self._folder} has {self._first} episodes, more than {self._episodes}; ask for "
                "as many, or name another folder"
            )

    def _take_out_the_last(self) -> None:
        """Opens the last shard again where it is to have more episodes; it stays until then."""
        over = self._first % self._made_of.per_shard
        if not over or self._first == self._episodes:
            return
        self._first -= over
        path = self._folder / shard_name(self._first // self._made_of.per_shard)
        files, waiting = ShardSet([str(path)]), set(self._open.numbers())
        for place in range(over):
            if self._first + place not in waiting:
                npz = bytes(files.sample(place, EPISODES).files["npz"])
                self._open.write(self._first + place, npz)

    def _waiting(self) -> int:
        """How many episodes wait for their shard; what a kill left besides is removed."""
        numbers = self._open.numbers()
        of_shards = [number for number in numbers if number < self._first]
        for number in of_shards:
            self._open.remove(number)
        pairs = enumerate(numbers[len(of_shards) :], start=self._first)
        waiting = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        self._open.forget(first=min(self._first + waiting, self._episodes))
        return min(waiting, self._episodes - self._first)

    def _metadata(self, number: int) -> dict[str, Any]:
        """What lies beside an episode; no more than decides it, so that it is always the same."""
        kept = self._made_of.model_dump(mode="json", exclude={"version", "per_shard"})
        return kept | {"episode": number}
