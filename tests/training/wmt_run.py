"""`wmt` with the arguments it is given, on a rank that may be made to fail while it measures."""

import os
import sys
from collections.abc import Iterator
from typing import Any

from worldmodel_train import cli
from worldmodel_train.evaluation.probing.classification_scores import NamedVideos


def main(options: dict[str, Any]) -> int:
    """Ends as `wmt` does; `refuse` and `die` are ranks that do not measure."""
    sys.argv = ["wmt", *options["arguments"]]
    cli._MOMENT = 0.0  # no launcher ends these ranks
    rank = int(os.environ.get("RANK", "0"))
    if rank == options.get("refuse"):
        NamedVideos._batches = _refuse
    if rank == options.get("die"):
        NamedVideos._batches = _die
    cli.main()
    return 0


def _refuse(named: NamedVideos) -> Iterator[Any]:
    yield from iter(())
    raise ValueError("a clip has two labels")


def _die(named: NamedVideos) -> Iterator[Any]:
    os._exit(9)
