"""The command line `wmt`. Heavy imports wait until a command needs them."""

import os
import sys

import typer

from worldmodel_train.cli import checkpoints, data, pretrain, show

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
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("WMT_TRACEBACK") == "1":
            raise
        sys.stderr.write(f"wmt: {_message(error)}\n")
        sys.exit(2)


def _message(error: Exception) -> str:
    """What to tell the user; an error from a loading process arrives wrapped in its stack trace."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    last = text.rstrip().rsplit("\n", 1)[-1]
    return last.split(": ", 1)[-1]
