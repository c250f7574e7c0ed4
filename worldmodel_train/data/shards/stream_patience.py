"""How long one shard's stream is waited for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

LEAST_RATE = 1024  # bytes a second; a stream that sends less while it is waited for has stalled
_WITHOUT_SAMPLE = 10  # times the time-out: as long may nothing come that makes a sample


class StalledError(TimeoutError):
    """A stream that is too slow to wait for."""


class Patience:
    """Notes what waiting for a stream has brought. Time that nobody waits does not count.

    A stream must send something within `timeout_s`, LEAST_RATE on the average of each `timeout_s`,
    and within ten times that something that makes a sample.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._waited = 0.0  # since the rate was last looked at
        self._received = 0
        self._fruitless = 0.0  # seconds since the last sample

    def note(self, seconds: float, num_bytes: int) -> None:
        """Counts a wait that has brought so many bytes, 0 the end; raises StalledError."""
        if num_bytes == 0:
            return
        self._waited += seconds
        self._received += num_bytes
        self._fruitless += seconds
        if self._fruitless > _WITHOUT_SAMPLE * self.timeout_s:
            raise StalledError(f"no sample for {_WITHOUT_SAMPLE} x {self._limit()}")
        if self._waited >= self.timeout_s:
            if self._received < LEAST_RATE * self._waited:
                raise StalledError(
                    f"{self._received} bytes in {self._waited:.3g} s; {self._limit()}"
                )
            self._waited, self._received = 0.0, 0

    def sample_came(self) -> None:
        """Something has come that makes a sample."""
        self._fruitless = 0.0

    def silent(self) -> StalledError:
        """The error of a stream that has sent nothing for as long as it may."""
        return StalledError(f"no byte for {self._limit()}")

    def _limit(self) -> str:
        return f"data.loader.stream_timeout_s={self.timeout_s:g}"


class Received:
    """How many bytes a wait has brought."""

    num_bytes = 0


@contextmanager
def waiting(patience: Patience) -> Iterator[Received]:
    """Notes the time spent inside."""
    received, began = Received(), time.monotonic()
    yield received
    patience.note(time.monotonic() - began, received.num_bytes)
