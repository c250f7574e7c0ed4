"""The one console of a program: a live bar and log lines tear each other on two."""

import logging
from functools import cache

from rich.console import Console

from worldmodel_train.config.printable import printable_lines

LONGEST_LINE = 2000  # characters of a message in the log


@cache
def terminal() -> Console:
    """Standard error, where progress and log go; standard output is for results."""
    return Console(stderr=True)


class PrintableFormatter(logging.Formatter):
    """Messages as they may be shown: they name keys and paths that strangers chose."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, each of its lines printable."""
        return printable_lines(super().format(record), LONGEST_LINE)
