"""Kinds of classes: in a list of "verb 3", "noun 17" and "action 3 17", verbs, nouns, actions."""

from collections.abc import Sequence
from itertools import groupby


def class_kinds(classes: Sequence[str]) -> dict[str, slice]:
    """Where the classes of each kind stand in the list; a kind is the first word of a name.

    Raises:
        ValueError: The classes of a kind do not stand together.
    """
    kinds: dict[str, slice] = {}
    first = 0
    for kind, names in groupby(name.partition(" ")[0] for name in classes):
        if kind in kinds:
            raise ValueError(
                f"data.classes: '{classes[first]}' stands apart from the other classes of the kind "
                f"'{kind}'; write all of a kind one after the other"
            )
        last = first + len(list(names))
        kinds[kind] = slice(first, last)
        first = last
    return kinds
