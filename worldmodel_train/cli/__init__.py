"""The command line `wmt`: what comes before a command, and how its errors end it."""

import os
import sys
import time

from worldmodel_train.cli.exit_codes import FAILED, TRY_AGAIN, USER_ERROR
from worldmodel_train.config.printable import printable_lines
from worldmodel_train.training.contact import LostContactError
from worldmodel_train.training.gpu_memory import let_segments_grow
from worldmodel_train.training.ranks.parent import end_with_launcher
from worldmodel_train.training.ranks.signals import end_at_once
from worldmodel_train.training.shortages import LostWorkerError

_LONGEST_LINE = 2000  # characters of a message
_MOMENT = 3.0  # seconds that a launcher has to notice that a rank has ended


def main() -> None:
    """Run `wmt`; what a user can fix ends in one line, unless WMT_TRACEBACK=1."""
    if sys.argv[1:2] == ["pretrain"]:
        # before the imports, which take seconds
        end_at_once()
        end_with_launcher()
    # threads that wait by spinning make a CPU run several times slower when cores are shared
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    let_segments_grow()
    from worldmodel_train.cli.commands import app

    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("WMT_TRACEBACK") == "1":
            raise
        rank = int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))
        _let_others_speak(error, rank)
        who = "" if rank == 0 or isinstance(error, LostContactError) else f"rank {rank}: "
        sys.stderr.write(f"wmt: {who}{printable_lines(_message(error), _LONGEST_LINE)}\n")
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    """What a launcher should do: files may come back, what a user wrote will not change."""
    if isinstance(error, (LostContactError, LostWorkerError)):
        return TRY_AGAIN
    return FAILED if isinstance(error, OSError) else USER_ERROR


def _let_others_speak(error: Exception, rank: int) -> None:
    """Waits until the ranks that know more have said it; may end this one without a word.

    A launcher ends all ranks once one has ended. So an error that all ranks share is printed once,
    by the first, and a rank that has lost another one does not end the one that knows why.
    """
    if isinstance(error, LostContactError):
        if error.told_to_leave and rank:
            sys.exit(TRY_AGAIN)
        time.sleep(0.0 if error.told_to_leave else _MOMENT + 1.0)
    elif rank:
        time.sleep(_MOMENT)


def _message(error: Exception) -> str:
    """What to tell the user; an error from a loading process arrives wrapped in its stack trace."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    last = text.rstrip().rsplit("\n", 1)[-1]
    return last.split(": ", 1)[-1]
