"""Braces in shard strings: ranges such as `{000..127}`, and lists such as `{train,val}`."""

import math
import re
from collections.abc import Iterator

from worldmodel_train.config.printable import printable

MAX_SHARDS = 2_000_000  # names that one source may have; they are all kept in memory
_MAX_DIGITS = 18
_MAX_BRACES = 100  # of one string; each is a level of recursion

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LIST = re.compile(r"\{([^{}]*,[^{}]*)\}")


def expand_braces(pattern: str) -> Iterator[str]:
    """Every string that lists and ranges of the pattern make, in order.

    Raises ValueError, before anything is expanded, where they are too many or none.
    """
    _require_sane(pattern, _num_lists(pattern) * _num_ranges(pattern))
    return _expand_all(pattern)


def expand_ranges(pattern: str) -> Iterator[str]:
    """The same for ranges alone: `{000..127}` becomes 128 strings, zeros kept."""
    _require_sane(pattern, _num_ranges(pattern))
    return _expand_ranges(pattern)


def _require_sane(pattern: str, count: int) -> None:
    if count > MAX_SHARDS:
        shown = f"{count:,}" if count < 10**18 else f"about 1e{math.log10(count):.0f}"
        raise ValueError(
            f"data: shards '{printable(pattern, 100)}' are {shown}; a source has {MAX_SHARDS:,} "
            "at most. Correct the ranges, or pack larger shards"
        )
    if count == 0:
        raise ValueError(
            f"data: shards '{printable(pattern, 100)}' are none; a range goes from low to high"
        )
    if pattern.count("{") > _MAX_BRACES:
        raise ValueError(
            f"data: shards '{printable(pattern, 100)}' have more than {_MAX_BRACES} braces; "
            "make several strings of it"
        )


def _num_lists(pattern: str) -> int:
    return math.prod(match[1].count(",") + 1 for match in _LIST.finditer(pattern))


def _num_ranges(pattern: str) -> int:
    lengths = (_length(pattern, first, last) for first, last in _RANGE.findall(pattern))
    return math.prod(lengths)


def _length(pattern: str, first: str, last: str) -> int:
    if max(len(first), len(last)) > _MAX_DIGITS:
        raise ValueError(
            f"data: shards '{printable(pattern, 100)}' have a range of numbers of more than "
            f"{_MAX_DIGITS} digits"
        )
    return max(0, int(last) - int(first) + 1)


def _expand_all(pattern: str) -> Iterator[str]:
    total = 0
    for chosen in _expand_lists(pattern):
        total += _num_ranges(chosen)  # a choice of a list may have completed a range
        _require_sane(pattern, total)
        yield from _expand_ranges(chosen)


def _expand_lists(pattern: str) -> Iterator[str]:
    match = _LIST.search(pattern)
    if match is None:
        yield pattern
        return
    for choice in match[1].split(","):
        yield from _expand_lists(pattern[: match.start()] + choice + pattern[match.end() :])


def _expand_ranges(pattern: str) -> Iterator[str]:
    match = _RANGE.search(pattern)
    if match is None:
        yield pattern
        return
    first, last = match[1], match[2]
    for number in range(int(first), int(last) + 1):
        text = f"{number:0{len(first)}d}"
        yield from _expand_ranges(pattern[: match.start()] + text + pattern[match.end() :])
