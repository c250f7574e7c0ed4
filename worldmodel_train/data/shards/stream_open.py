"""Opens a shard that can only be read from front to back."""

import io
import sys
from typing import Any, Protocol, runtime_checkable

import fsspec.core

from worldmodel_train.data.shards.stream_http import HttpStream
from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.stream_patience import Patience, waiting
from worldmodel_train.data.shards.stream_pipe import PipeStream

_PIPE_BYTES = 1 << 16  # that a pipe holds
# what clients of object stores raise beside OSError; the modules are theirs, not ours
_CLIENT_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp.client_exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)


@runtime_checkable
class ByteStream(Protocol):
    """Bytes that come one after the other."""

    @property
    def length(self) -> int | None:
        """How many there are in all, None where nobody says."""
        ...

    @property
    def cut(self) -> bool:
        """Whether fewer than that have come so far."""
        ...

    def read(self, size: int, /) -> bytes:
        """At most so many, none at the end."""
        ...

    def close(self) -> None:
        """Ends what gives them."""
        ...


def open_stream(shard: str, patience: Patience, outages: Outages) -> ByteStream:
    """The bytes of a shard; raises TimeoutError where they are slower than `patience` allows.

    Object stores have the time-outs of their clients besides, of which s3fs is told ours.
    """
    if shard.startswith("pipe:"):
        return _Pipe(PipeStream(shard.removeprefix("pipe:"), patience), _PIPE_BYTES)
    if shard.startswith(("http://", "https://")):
        return HttpStream(shard, patience, outages)
    options: dict[str, Any] = {}
    if shard.startswith("s3://"):
        time_out = patience.timeout_s
        options["config_kwargs"] = {"connect_timeout": time_out, "read_timeout": time_out}
    file_system, path = fsspec.core.url_to_fs(shard, **options)
    return _Stored(file_system.open(path, "rb"), patience)


def server_of(shard: str) -> str:
    """What is away when a shard cannot be opened."""
    return "a pipe" if shard.startswith("pipe:") else "/".join(shard.split("/")[:3])


def client_errors() -> tuple[type[Exception], ...]:
    """What reading from an object store may raise, of the clients that have been imported."""
    return tuple(
        getattr(sys.modules[module], name)
        for module, name in _CLIENT_ERRORS
        if hasattr(sys.modules.get(module), name)
    )


class _Pipe(io.BufferedReader):
    length = None
    cut = False


class _Stored:
    """A file of an object store."""

    def __init__(self, file: Any, patience: Patience) -> None:  # noqa: ANN401 - as fsspec types it
        self._file = file
        self._patience = patience
        self._position = 0
        self.length: int | None = getattr(file, "size", None)

    @property
    def cut(self) -> bool:
        return self.length is not None and self._position < self.length

    def read(self, size: int, /) -> bytes:
        with waiting(self._patience) as received:
            content = self._file.read(size)
            received.num_bytes = len(content)
        self._position += len(content)
        return content

    def close(self) -> None:
        self._file.close()
