"""The command line `wmt`. Heavy imports wait until a command needs them."""

import os
import sys
import time

import typer

from worldmodel_train.cli import checkpoints, data, pretrain, show
from worldmodel_train.cli.exit_codes import FAILED, TRY_AGAIN, USER_ERROR
from worldmodel_train.training.gpu_memory import let_segments_grow
from worldmodel_train.training.ranks.contact import LostContactError

_MOMENT = 3.0  # seconds that a launcher has to notice that a rank has ended

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Pretrain world models on video.",
)
app.command("pretrain")(pretrain.pretrain)
app.command("report")(pretrain.report)
app.command("compare")(pretrain.compare)
app.command("show")(show.show)
app.command("schema")(show.schema)
app.command("import")(checkpoints.import_)
app.command("export")(checkpoints.export)
app.add_typer(data.app, name="data", help="Pack videos into shards, check and look at them.")


def main() -> None:
    """Run `wmt`; what a user can fix ends in one line, unless WMT_TRACEBACK=1."""
    # threads that wait by spinning make a CPU run several times slower when cores are shared
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    let_segments_grow()
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("WMT_TRACEBACK") == "1":
            raise
        rank = int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))
        _let_others_speak(error, rank)
        who = "" if rank == 0 or isinstance(error, LostContactError) else f"rank {rank}: "
        sys.stderr.write(f"wmt: {who}{_message(error)}\n")
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    """What a launcher should do: files may come back, what a user wrote will not change."""
    if isinstance(error, LostContactError):
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
