"""A shell command whose output is a shard; it ends with the process that reads it."""

import io
import os
import select
import signal
import subprocess
from typing import Any

from worldmodel_train.data.shards.stream_patience import Patience, waiting

_BROKEN_PIPE = 128 + signal.SIGPIPE  # the status of a shell whose pipeline was not read to its end

# Leads the command's process group, and kills all of it, itself too, once its standard input ends:
# when the reading process closes that, or is gone, whatever it died of.
_GUARD = ("/bin/sh", "-c", "read -r line; kill -KILL 0")


class PipeStream(io.RawIOBase):
    """What a shell command writes to its standard output."""

    def __init__(self, command: str, patience: Patience) -> None:
        super().__init__()
        self._patience = patience
        self._guard = subprocess.Popen(
            _GUARD, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
        )
        try:
            self._process = subprocess.Popen(
                command,
                shell=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                bufsize=0,
                process_group=self._guard.pid,
            )
        except OSError:
            super().close()
            self._end_guard()
            raise
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._ready = select.poll()
        self._ready.register(self._output, select.POLLIN)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - whatever io hands over
        """Bytes read, 0 at the end.

        Raises TimeoutError where the command is too slow, OSError where it ends with an error.
        """
        with waiting(self._patience) as received:
            if not self._ready.poll(1000 * self._patience.timeout_s):
                raise self._patience.silent()
            count = received.num_bytes = os.readv(self._output.fileno(), [buffer])
        if count == 0:
            self._require_success()
        return count

    def close(self) -> None:
        """Kill the command, if it still runs, and all that it has started."""
        if self.closed:
            return
        super().close()
        self._end_guard()
        self._output.close()
        self._process.wait()

    def _end_guard(self) -> None:
        """Kill the whole group; the guard is in it until it is waited for, so the id is its own."""
        os.killpg(self._guard.pid, signal.SIGKILL)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()

    def _require_success(self) -> None:
        try:
            status = self._process.wait(self._patience.timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError("the command wrote all and does not end") from None
        if status not in (0, _BROKEN_PIPE):
            raise OSError(f"the command ended with status {status}")
