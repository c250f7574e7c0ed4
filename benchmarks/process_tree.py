"""CPU time of this process and all it has started, as Linux counts it."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def cpu_seconds_of_tree() -> float:
    """User and system seconds of this process and its living descendants, since they began."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # the name, in brackets, may hold anything; what follows it is numbers
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        number = int(entry.name)
        parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])
    return sum(ticks[number] for number in _tree(os.getpid(), parents)) / _TICKS


def _tree(root: int, parents: dict[int, int]) -> list[int]:
    found = [root]
    for number in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == number]
    return found
