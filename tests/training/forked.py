"""Starts runs as forks of one process that has imported everything: a start takes a moment.

As commands they would import for ten seconds each; tests/cli starts the commands themselves.
"""

import multiprocessing
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["deepspeed", "tests.training.acting_run", "tests.training.toy_run", "tests.training.vjepa_run"]
)


class Forked:
    """A process that does `main(options)` of a module of tests/training and ends with its code."""

    def __init__(
        self,
        module: str,
        options: Any,
        place: dict[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        if log is not None:
            log.touch()  # it may be read before the process has begun
        work = (f"tests.training.{module}", options, place or {}, log)
        self._process = _SERVER.Process(target=_do, args=work)
        self._process.start()

    def wait(self, timeout: float = 120) -> int:
        """The exit code, negative for a signal."""
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"still running after {timeout} s"
        return code

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.exitcode is None

    def send_signal(self, number: int) -> None:
        """Nothing where it has ended."""
        if self.runs:
            assert self._process.pid is not None
            os.kill(self._process.pid, number)


def _do(module: str, options: Any, place: dict[str, str], log: Path | None) -> None:
    os.environ.update({"OMP_NUM_THREADS": "1"} | place)
    torch.set_num_threads(1)
    if log is not None:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
    sys.exit(import_module(module).main(options))
