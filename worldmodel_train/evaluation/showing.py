"""How a task that takes long says how far it is; who asked for it shows that."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

Tell: TypeAlias = Callable[[int, str], None]
"""Told how many are done of what was announced; then what these are, and what came of them."""


class Showing(Protocol):
    """Shows things that are done one after another."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Tell]:
        """Announces `total` of them; at the end of the context no more are done."""
        ...


def said_to_nobody(done: int, found: str) -> None:
    """A `Tell` that shows nothing."""
    del done, found


@contextmanager
def shown_to_nobody(what: str, total: int) -> Iterator[Tell]:
    """A `Showing` that shows nothing."""
    del what, total
    yield said_to_nobody
