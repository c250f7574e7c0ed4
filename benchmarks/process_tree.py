"""CPU time of the processes that this one has started, as Linux counts it.

This process is left out: looking at a host of many processes costs it much time of its own.
"""

import os
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def descendants() -> list[int]:
    """Numbers of the living processes that this one has started, and that these have."""
    found = [os.getpid()]
    everybody = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    parents = {number: int(fields[1]) for number in everybody if (fields := _fields(number))}
    for number in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == number]
    return found[1:]


def cpu_seconds(processes: Sequence[int]) -> dict[int, float]:
    """User and system seconds of each process since it began; without those that have ended."""
    return {
        number: (int(fields[11]) + int(fields[12])) / _TICKS
        for number in processes
        if (fields := _fields(number))
    }


def _fields(number: int) -> list[str]:
    """What follows the name of a process; nothing where it has just ended."""
    try:
        # the name, in brackets, may hold anything; what follows it is numbers
        return (_PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
