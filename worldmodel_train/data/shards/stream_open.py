"""Opens a shard that can only be read from front to back; one that falls silent is given up."""

import io
import os
import select
import signal
import subprocess
import urllib.parse
import urllib.request
from typing import Any

import fsspec.core

_PIPE_BYTES = 1 << 16  # that a pipe holds
_URL = "%/:=&?~#+!$,;'@()*[]"  # characters of an address that are left as they are
_BROKEN_PIPE = 128 + signal.SIGPIPE  # the status of a shell whose pipeline was not read to its end
_LAST_WORDS = 1 << 20  # bytes that may follow the end of a tar: empty blocks


def open_stream(shard: str, timeout_s: float) -> Any:  # noqa: ANN401 - three kinds of file
    """The bytes of a shard; reading raises TimeoutError after `timeout_s` without a byte.

    That holds for pipes, http and https. Object stores have the time-outs of their clients, of
    which s3fs is told this one.
    """
    if shard.startswith("pipe:"):
        return io.BufferedReader(PipeStream(shard.removeprefix("pipe:"), timeout_s), _PIPE_BYTES)
    if shard.startswith(("http://", "https://")):
        return urllib.request.urlopen(urllib.parse.quote(shard, _URL), timeout=timeout_s)
    options: dict[str, Any] = {}
    if shard.startswith("s3://"):
        options["config_kwargs"] = {"connect_timeout": timeout_s, "read_timeout": timeout_s}
    file_system, path = fsspec.core.url_to_fs(shard, **options)
    return file_system.open(path, "rb")


def read_to_end(stream: Any) -> None:  # noqa: ANN401
    """Read the little that follows a tar's end, so that its writer can finish and say how."""
    left = _LAST_WORDS
    while left > 0 and (content := stream.read(left)):
        left -= len(content)


class PipeStream(io.RawIOBase):
    """What a shell command writes to its standard output."""

    def __init__(self, command: str, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        # a group of its own, so that all of a pipeline can be killed
        self._process = subprocess.Popen(
            command, shell=True, stdout=subprocess.PIPE, bufsize=0, process_group=0
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._ready = select.poll()
        self._ready.register(self._output, select.POLLIN)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - whatever io hands over
        """Bytes read, 0 at the end.

        Raises TimeoutError where the command is silent, OSError where it ends with an error.
        """
        if not self._ready.poll(1000 * self._timeout_s):
            raise TimeoutError(f"no byte for data.loader.stream_timeout_s={self._timeout_s:g}")
        count = os.readv(self._output.fileno(), [buffer])
        if count == 0:
            self._require_success()
        return count

    def close(self) -> None:
        """Kill the command, if it still runs."""
        if self.closed:
            return
        super().close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._output.close()
        self._process.wait()

    def _require_success(self) -> None:
        try:
            status = self._process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError("the command wrote all and does not end") from None
        if status not in (0, _BROKEN_PIPE):
            raise OSError(f"the command ended with status {status}")
