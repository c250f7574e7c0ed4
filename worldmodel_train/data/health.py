"""Counts what could not be used, and stops a run that is fed too much of it."""

from collections import Counter

from worldmodel_train.types import Skip, VideoBatch


class BadDataError(ValueError):
    """Too much of the data cannot be used."""


class SkipLedger:
    """Samples skipped so far, by reason."""

    def __init__(self, *, max_bad_share: float, min_seen: int = 100) -> None:
        self._max_bad_share = max_bad_share
        self._min_seen = min_seen
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

    def add(self, batch: VideoBatch) -> None:
        """Counts a batch; raises BadDataError past the limit, once enough has been seen."""
        self._good += batch.num_clips
        for skip in batch.skipped:
            self.counts[skip.reason] += 1
            self.last = skip
        seen = self._good + self.num_skipped
        if seen >= self._min_seen and self.share > self._max_bad_share:
            raise BadDataError(self._complaint(seen))

    def _complaint(self, seen: int) -> str:
        assert self.last is not None
        reasons = ", ".join(f"{reason} {n}" for reason, n in self.counts.most_common())
        return (
            f"{self.num_skipped} of {seen} samples are bad ({self.share:.1%}, limit "
            f"data.loader.max_bad_share={self._max_bad_share:.1%}): {reasons}; the last is "
            f"'{self.last.key}' in {self.last.shard}. Check the shards with `wmt data check`, or "
            "raise the limit"
        )
