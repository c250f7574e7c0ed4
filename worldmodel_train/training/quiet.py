"""Lightning without its tips, and without two things that hurt a long run.

Both reach into private members, so both assert that the members are there: a new Lightning that
moves them fails in the tests and not in the middle of a run.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning.pytorch as pl
from lightning.fabric.utilities.warnings import PossibleUserWarning

_LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")


def take_out_signal_handling(trainer: pl.Trainer) -> None:
    """Removes Lightning's signal handlers and its check for a signal before each batch.

    The handlers hang where a rank is late. The check broadcasts a flag on the device and reads it
    back, so it makes the host wait for the GPU before every micro-batch. `ranks/signals.py` does
    both.
    """
    connector = trainer._signal_connector  # noqa: SLF001
    assert hasattr(connector, "register_signal_handlers")
    connector.register_signal_handlers = _nothing
    loop = trainer.fit_loop.epoch_loop
    # Lightning before 2.6 has no such check
    if hasattr(loop, "_broadcast_sigterm_tensor"):
        loop._broadcast_sigterm_tensor = _nothing  # noqa: SLF001


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silences Lightning's tips and the warnings that do not apply to our loop."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            # DeepSpeed calls what the newest PyTorch renames
            warnings.filterwarnings("ignore", message=r"`torch\.distributed\..*` is deprecated")
            # nothing here changes a network's output in place
            warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view")
            # wherever SLURM is installed, whether it is used or not
            warnings.filterwarnings("ignore", message=r"The `srun` command is available")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _nothing() -> None:
    """Takes the place of a method that should do nothing."""
