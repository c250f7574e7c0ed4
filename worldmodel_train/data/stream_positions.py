"""How far the streams of a run have been read: in whole shards, since a stream cannot seek.

A stream's shards are numbered through all epochs: number n is shard `n mod shards` of epoch
`n div shards`. The loading processes are dealt the numbers in turn; what each has finished travels
with its batches, so that shards read ahead for batches nobody used do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from worldmodel_train.batch import Batch, StreamMark
from worldmodel_train.types import Content

StreamState = dict[str, dict[str, list[int]]]
"""What a checkpoint keeps: for each streaming source

read: number of shards, `first`, and all of `beyond` of a StreamPosition
since: number of processes, and then pairs of a process and how many shards it has finished since
"""


@dataclass(frozen=True, kw_only=True)
class StreamPosition:
    """All numbers below `first` have been read, and those in `beyond`, which is sorted."""

    shards: int
    first: int = 0
    beyond: tuple[int, ...] = ()

    def number(self, place: int) -> int:
        """The `place`-th number that has not been read."""
        return int(self.numbers(np.array([place]))[0])

    def numbers(self, places: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
        """The numbers at these places among those that have not been read."""
        # so many unread numbers lie before each number of `beyond`, `first` of them imagined
        unread_before = np.array(self.beyond, dtype=np.int64) - np.arange(len(self.beyond))
        wanted = self.first + places
        return wanted + np.searchsorted(unread_before, wanted, side="right")

    def after(self, finished: Sequence[int]) -> "StreamPosition":
        """The position once consumer c has finished the first `finished[c]` shards dealt to it."""
        consumers = len(finished)
        first = min(c + n * consumers for c, n in enumerate(finished))
        ahead = [
            np.arange(c, c + n * consumers, consumers, dtype=np.int64)
            for c, n in enumerate(finished)
        ]
        places = np.concatenate(ahead)
        start = self.number(first)
        read = {number for number in self.beyond if number > start}
        read.update(self.numbers(places[places > first]).tolist())
        return StreamPosition(shards=self.shards, first=start, beyond=tuple(sorted(read)))


class StreamPositions:
    """What the batches used so far by one rank have read of each stream, beginning at `start`."""

    def __init__(self, start: StreamState | None) -> None:
        self._start = start or {}
        self._marks: dict[str, dict[int, StreamMark]] = {}

    def add(self, batch: Batch[Content]) -> None:
        """Count what a used batch says of its streams."""
        for mark in batch.origin.stream_marks:
            self._marks.setdefault(mark.source, {})[mark.consumer] = mark

    def state(self) -> StreamState:
        """What this rank knows; the states of all ranks go into `merge_streams`."""
        state = dict(self._start)
        for source, marks in self._marks.items():
            first = next(iter(marks.values()))
            start = position_of(self._start, source, first.shards)
            finished = [n for c in sorted(marks) for n in (c, marks[c].finished)]
            state[source] = _entry(start, [first.consumers, *finished])
        return state


def merge_streams(ranks: Sequence[StreamState]) -> StreamState:
    """One state of those that all ranks had at the same step; the same for one that is merged.

    A shard counts as read if its process has finished it and every one dealt to it before. Nothing
    is lost therefore, and what is read again are the shards that were open, and those a process
    finished while samples of an earlier one waited in its shuffle buffer.
    """
    merged: StreamState = {}
    for source in sorted({source for state in ranks for source in state}):
        entries = [state[source] for state in ranks if source in state]
        # a rank without a batch so far knows nothing newer than where the run went on
        moved = [entry for entry in entries if len(entry["since"]) > 1]
        if not moved:
            merged[source] = entries[0]
            continue
        consumers, finished = moved[0]["since"][0], dict[int, int]()
        for entry in moved:
            pairs = entry["since"][1:]
            finished.update(zip(pairs[::2], pairs[1::2], strict=True))
        start = position_of({source: moved[0]}, source, moved[0]["read"][0])
        position = start.after([finished.get(consumer, 0) for consumer in range(consumers)])
        merged[source] = _entry(position, [consumers])
    return merged


def position_of(state: StreamState, source: str, shards: int) -> StreamPosition:
    """Where a source of so many shards goes on, by a merged state; the beginning if it is silent.

    Where the number of shards has changed, the epoch is begun again.
    """
    if source not in state:
        return StreamPosition(shards=shards)
    before, first, *beyond = state[source]["read"]
    if before != shards:
        return StreamPosition(shards=shards, first=first // before * shards)
    return StreamPosition(shards=shards, first=first, beyond=tuple(beyond))


def what_a_stream_repeats(state: StreamState, source: str, shards: int) -> str:
    """For the log: from where a stream goes on, and what it reads twice."""
    position = position_of(state, source, shards)
    if source not in state:
        return "no position of it was saved, so it begins anew and repeats what was read before"
    epoch, place = divmod(position.first, shards)
    if state[source]["read"][0] != shards:
        return (
            f"it has {shards} shards now, not {state[source]['read'][0]}; epoch {epoch} begins anew"
        )
    return (
        f"it goes on at shard {place} of {shards} of epoch {epoch}; the shards that its "
        f"{state[source]['since'][0]} loading processes had open are read again from their first "
        "samples"
    )


def _entry(position: StreamPosition, since: list[int]) -> dict[str, list[int]]:
    return {"read": [position.shards, position.first, *position.beyond], "since": since}
