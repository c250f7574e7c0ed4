"""`python -m benchmarks step --recipe vjepa2_vitb`; `make bench` runs all with their defaults."""

import os
import sys
from importlib import import_module

import typer

# threads that wait by spinning make a CPU run several times slower when cores are shared
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from worldmodel_train.training.gpu_memory import let_segments_grow

let_segments_grow()

from benchmarks.results import FailedCasesError, IncorrectError  # noqa: E402 - imports torch

BENCHMARKS = ("kernels", "step", "loader", "memory")


def main() -> None:
    """Runs one benchmark; exit code 1 where it lacks a result, 2 for what a user can fix."""
    try:
        _command_line(sys.argv[1:2])()
    except IncorrectError as error:
        sys.stderr.write(f"bench: nothing is reported: {error}\n")
        sys.exit(1)
    except FailedCasesError as error:
        sys.stderr.write(f"bench: {error}\n")
        sys.exit(1)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n")
        sys.exit(2)


def _command_line(asked: list[str]) -> typer.Typer:
    """Commands; only the one that is asked for is imported: a step needs no decoder."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Measure this machine; results go to benchmarks/results.",
    )
    app.callback()(lambda: None)  # or typer leaves out the name of a command that is alone
    for name in [name for name in BENCHMARKS if name in asked] or BENCHMARKS:
        app.command(name)(getattr(import_module(f"benchmarks.{name}"), name))
    return app


if __name__ == "__main__":
    main()
