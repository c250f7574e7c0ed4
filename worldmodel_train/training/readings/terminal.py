"""The one console of a program: a live bar and log lines tear each other on two."""

from functools import cache

from rich.console import Console


@cache
def terminal() -> Console:
    """Standard error, where progress and log go; standard output is for results."""
    return Console(stderr=True)
