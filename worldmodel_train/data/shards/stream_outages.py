"""Waits, with growing pauses and not for ever, where a server is away."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0  # seconds; the next ones are twice as long each
_LONGEST_PAUSE = 30.0


@dataclass
class _Outage:
    since: float
    pauses: int = 0
    given_up: bool = False


class Outages:
    """Of all servers that one loading process reads from.

    An outage is waited for once: when `retry_s` are over, everything of that server fails at once
    until it answers again.
    """

    def __init__(
        self,
        retry_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._retry_s = retry_s
        self._clock = clock
        self._sleep = sleep
        self._outages: dict[str, _Outage] = {}
        # servers that come back are not asked by all processes at one instant; no sample is drawn
        self._jitter = random.Random()

    def wait(self, server: str, why: str, *, at_least: float = 0.0) -> bool:
        """Pauses before another try; False, at once, when the time for that is over."""
        now = self._clock()
        outage = self._outages.get(server)
        if outage is None:
            outage = self._outages[server] = _Outage(now)
            _log.warning(
                "%s: %s; trying again for data.loader.stream_retry_s=%g s",
                server, why, self._retry_s,
            )  # fmt: skip
        left = outage.since + self._retry_s - now
        if left <= 0:
            if not outage.given_up:
                outage.given_up = True
                _log.warning("%s is still away; skipping its shards until it is back", server)
            return False
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(outage.pauses, 10))
        outage.pauses += 1
        self._sleep(min(left, max(at_least, pause * self._jitter.uniform(0.75, 1.25))))
        return True

    def over(self, server: str) -> None:
        """The server has answered."""
        outage = self._outages.pop(server, None)
        if outage is not None:
            _log.warning("%s is back after %.0f s", server, self._clock() - outage.since)
