"""Processes that measure together: each has the whole model, and a share of the videos."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

_ROUND_S = 20.0
"""Seconds of work after which a rank looks whether the others are still there."""

ValueT = TypeVar("ValueT")


@runtime_checkable
class Ranks(Protocol):
    """This process among those that measure, and what they tell each other."""

    @property
    def rank(self) -> int:
        """The number of this one; the first writes what was found."""
        ...

    @property
    def world_size(self) -> int:
        """How many there are."""
        ...

    def gather(self, value: ValueT, /) -> list[ValueT]:
        """Every rank's value, by rank; all ranks call it as often as the others."""
        ...


class Alone:
    """The ranks of a process that measures by itself."""

    rank = 0
    world_size = 1

    def gather(self, value: ValueT, /) -> list[ValueT]:
        """Its own."""
        return [value]


ALONE = Alone()


def on_first(ranks: Ranks, find: Callable[[], ValueT]) -> ValueT:
    """What the first rank finds, on all of them.

    Raises:
        ValueError: The first rank was refused; all say why.
    """
    if ranks.world_size == 1:
        return find()
    answer = _attempt(find) if ranks.rank == 0 else (None, None)
    [(found, refusal), *_] = ranks.gather(answer)
    if refusal is not None:
        raise ValueError(refusal)
    return found  # pyright: ignore[reportReturnType]  # there is one where nothing was refused


def work_together(ranks: Ranks, steps: Iterable[object]) -> None:
    """Takes this rank's steps, and returns once all ranks have taken theirs.

    They meet now and then, so that none works on for hours when another has failed, and none waits
    in one exchange for as long as all the work of a slower one takes.

    Raises:
        ValueError: Any rank was refused; all say which one, and why.
    """
    remaining = iter(steps)
    if ranks.world_size == 1:
        _take(remaining, float("inf"))
        return
    everyone_is_done = False
    while not everyone_is_done:
        outcomes = ranks.gather(_attempt(lambda: _take(remaining, _ROUND_S)))
        for rank, (_, refusal) in enumerate(outcomes):
            if refusal is not None:
                raise ValueError(f"rank {rank}: {refusal}")
        everyone_is_done = all(done for done, _ in outcomes)


def _attempt(work: Callable[[], ValueT]) -> tuple[ValueT | None, str | None]:
    """What the work gave, or why it was refused."""
    try:
        return work(), None
    except ValueError as error:
        return None, str(error)


def _take(steps: Iterator[object], seconds: float) -> bool:
    """Whether there are no steps left after so much time."""
    end = time.monotonic() + seconds
    return all(time.monotonic() < end for _ in steps)
