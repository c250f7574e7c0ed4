"""Counts what could not be used, and stops a run that is fed too much of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worldmodel_train.batch import Batch, Skip
from worldmodel_train.config.printable import printable
from worldmodel_train.data.remedies import remedy
from worldmodel_train.types import Content


class BadDataError(ValueError):
    """Too much of the data cannot be used."""


class TooMuchBadDataError(BadDataError):
    """All processes together have met too much of it; raised by all of them at one step."""


class DataAwayError(BadDataError, OSError):
    """What cannot be used cannot be reached: it may come back, and the run be started again."""


class TooMuchDataAwayError(TooMuchBadDataError, DataAwayError):
    """All processes together have met too much that cannot be reached."""


# reasons of Skip that may pass without anyone mending the data
AWAY = frozenset(("unreachable_shard", "stalled_shard", "unreadable_shard"))
MIN_SEEN = 100  # samples; a share of fewer says little


def counted(reasons: Counter[str]) -> str:
    """Each reason and how often, the commonest first."""
    return ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())


def shown(skip: Skip) -> str:
    """A bad sample for an error or the log: one line, whatever a stranger named it."""
    return f"'{printable(skip.key)}' in {printable(skip.shard)}: {skip.reason}"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What one process read since it was last asked."""

    good: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Samples that could not be used, by reason."""
    last: Skip | None = None


class SkipLedger:
    """Samples skipped so far by all processes of a run, by reason.

    Each process adds its own batches. Now and then all take their tallies, exchange them, and
    settle the same ones, so that all of them stop a bad run at the same step.
    """

    def __init__(self, *, max_bad_share: float, min_seen: int = MIN_SEEN) -> None:
        self._max_bad_share = max_bad_share
        self._min_seen = min_seen
        self._new_good = 0
        self._new: Counter[str] = Counter()
        self._new_last: Skip | None = None
        self._good = 0
        self.counts: Counter[str] = Counter()
        self.last: Skip | None = None

    @property
    def num_skipped(self) -> int:
        """Bad samples so far."""
        return self.counts.total()

    @property
    def share(self) -> float:
        """Bad samples among all that were read."""
        return self.num_skipped / max(1, self._good + self.num_skipped)

    def add(self, batch: Batch[Content]) -> None:
        """Counts a batch of this process."""
        self._new_good += batch.content.num_samples
        for skip in batch.origin.skipped:
            self._new[skip.reason] += 1
            self._new_last = skip

    def take(self) -> Tally:
        """What this process has read since it was last asked."""
        tally = Tally(good=self._new_good, skipped=self._new, last=self._new_last)
        self._new_good, self._new, self._new_last = 0, Counter(), None
        return tally

    def settle(self, tallies: Sequence[Tally]) -> None:
        """Counts the tallies of all processes.

        Raises:
            TooMuchBadDataError: Past the limit, once enough has been seen; a TooMuchDataAwayError
                where it would not be without what cannot be reached.
        """
        for tally in tallies:
            self._good += tally.good
            self.counts.update(tally.skipped)
            self.last = tally.last or self.last
        seen = self._good + self.num_skipped
        if seen >= self._min_seen and self.share > self._max_bad_share:
            away = sum(self.counts[reason] for reason in AWAY)
            left = (self.num_skipped - away) / max(1, seen - away)
            kind = TooMuchDataAwayError if left <= self._max_bad_share else TooMuchBadDataError
            raise kind(self._complaint(seen))

    def _complaint(self, seen: int) -> str:
        assert self.last is not None
        reasons = counted(self.counts)
        return (
            f"{self.num_skipped} of {seen} samples are bad ({self.share:.1%}, limit "
            f"data.loader.max_bad_share={self._max_bad_share:.1%}): {reasons}; the last is "
            f"{shown(self.last)}. {remedy(self.counts)}, or raise the limit"
        )
