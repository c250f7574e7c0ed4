"""A shard on a web server: waited for while the server is away, gone on with where it was cut."""

import email.utils
import http.client
import io
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from ssl import SSLCertVerificationError
from typing import Any

from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.stream_patience import Patience, waiting

_UNQUOTED = "%/:=&?~#+!$,;'@()*[]"  # characters of an address that are left as they are
_TRY_AGAIN = frozenset((408, 425, 429))  # beside all of 500 and more
_WORTH_GOING_ON = 1 << 16  # bytes that a connection must have brought to be made once more


class UnreachableError(OSError):
    """A server that was away for as long as it is waited for."""


class HttpStream:
    """The body of an answer; `length` is None where the server does not say it."""

    def __init__(self, address: str, patience: Patience, outages: Outages) -> None:
        self._address = urllib.parse.quote(address, _UNQUOTED)
        self._server = address.split("/")[2].rpartition("@")[2]
        self._opener = urllib.request.build_opener(
            _Http(patience), _Https(patience), _OnlyWebRedirects()
        )
        self._patience = patience
        self._outages = outages
        self._position = self._connected_at = 0
        self._answer = self._connect({})
        self.length: int | None = self._answer.length
        tag = self._answer.getheader("ETag", "")
        # what tells that it is still the same shard; a weak tag does not
        self._version = "" if tag.startswith("W/") else tag
        self._version = self._version or self._answer.getheader("Last-Modified", "")

    @property
    def cut(self) -> bool:
        """Whether fewer bytes have come so far than the server has said."""
        return self.length is not None and self._position < self.length

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, none at the end, also where that is earlier than it should be."""
        buffer = bytearray(size)
        while True:
            try:
                count = self._answer.readinto(buffer)
            except (ConnectionError, http.client.HTTPException):
                if self._position == 0:
                    raise
                count = 0  # cut
            self._position += count
            if count or not self.cut or not self._goes_on():
                return bytes(buffer[:count])

    def close(self) -> None:
        """Hang up."""
        self._answer.close()

    def _goes_on(self) -> bool:
        """Whether the server gives the rest of what was cut."""
        self._answer.close()
        if not self._version or self._position - self._connected_at < _WORTH_GOING_ON:
            return False
        self._connected_at = self._position
        try:
            self._answer = self._connect(
                {"Range": f"bytes={self._position}-", "If-Range": self._version}
            )
        except urllib.error.HTTPError:
            return False
        expected = f"bytes {self._position}-{(self.length or 0) - 1}/{self.length}"
        if self._answer.status == 206 and self._answer.getheader("Content-Range") == expected:
            return True
        self._answer.close()
        return False

    def _connect(self, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """The answer; waits while the server is away, then raises UnreachableError."""
        while True:
            try:
                request = urllib.request.Request(self._address, headers=dict(headers))
                answer = self._opener.open(request, timeout=self._patience.timeout_s)
            except ValueError as error:  # UnicodeError too: the server's redirect, or the recipe's
                raise OSError(f"no address: {error}") from error
            except OSError as error:
                self._wait(error)
            else:
                self._outages.over(self._server)
                return answer

    def _wait(self, error: OSError) -> None:
        """Pauses before another try; raises the error where that is of no use."""
        at_least = 0.0
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            at_least = _asked_for(error.headers.get("Retry-After"))
        if not _may_pass(error):
            raise error
        why = str(getattr(error, "reason", "") or error)
        if not self._outages.wait(self._server, why, at_least=at_least):
            raise UnreachableError(str(error)) from error


class _Patient:
    """Connections whose every wait is noted, from the first byte of the answer on."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._patience = patience

    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:  # noqa: ANN401
        """As in urllib, which calls it."""

        def connection(host: str, **more: Any) -> Any:  # noqa: ANN401
            made = http_class(host, **more)
            made.response_class = partial(_NotedResponse, self._patience)
            return made

        return super().do_open(connection, req, **options)  # pyright: ignore[reportAttributeAccessIssue]  # the other base has it


class _Http(_Patient, urllib.request.HTTPHandler):
    pass


class _Https(_Patient, urllib.request.HTTPSHandler):
    pass


class _OnlyWebRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str,  # noqa: ANN401
        headers: http.client.HTTPMessage, newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        """None of its body is read, however long it is."""
        fp.close()
        if not newurl.startswith(("http://", "https://")):
            raise OSError(f"redirected to '{newurl[:100]}'")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _NotedResponse(http.client.HTTPResponse):
    def __init__(self, patience: Patience, sock: Any, *args: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **options)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_NotedFile(raw, patience))


class _NotedFile(io.RawIOBase):
    """The bytes of a connection."""

    def __init__(self, raw: io.RawIOBase, patience: Patience) -> None:
        super().__init__()
        self._raw = raw
        self._patience = patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401
        with waiting(self._patience) as received:
            try:
                count = received.num_bytes = self._raw.readinto(buffer) or 0
            except TimeoutError:
                raise self._patience.silent() from None
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _may_pass(error: OSError) -> bool:
    """Whether another try may help: the server is away or busy, and did not refuse."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code in _TRY_AGAIN
    if isinstance(error, urllib.error.URLError):
        # no such host, no connection; a certificate stays wrong
        return isinstance(error.reason, OSError) and not isinstance(
            error.reason, SSLCertVerificationError
        )
    return isinstance(error, ConnectionError)


def _asked_for(retry_after: str | None) -> float:
    """Seconds that the server asks to be left alone."""
    if not retry_after:
        return 0.0
    if retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        when = email.utils.parsedate_to_datetime(retry_after)
        return (when - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # no date, or one without a time zone
        return 0.0
