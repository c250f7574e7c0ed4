"""`python -m benchmarks step --recipe vjepa2_vitb`; `make bench` runs all with their defaults."""

import os
import sys

import typer

# threads that wait by spinning make a CPU run several times slower when cores are shared
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks import kernels, loader, memory, step
from benchmarks.results import IncorrectError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure this machine; results go to benchmarks/results.",
)
app.command("kernels")(kernels.kernels)
app.command("step")(step.step)
app.command("loader")(loader.loader)
app.command("memory")(memory.memory)


def main() -> None:
    """Runs one benchmark; exit code 1 where it refuses to report, 2 for what a user can fix."""
    try:
        app()
    except IncorrectError as error:
        sys.stderr.write(f"bench: nothing is reported: {error}\n")
        sys.exit(1)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
