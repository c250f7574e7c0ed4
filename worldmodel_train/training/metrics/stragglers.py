"""Names the rank whose loader keeps the others waiting."""

import logging
import statistics

from worldmodel_train.training.step_metrics import StepMetrics

logger = logging.getLogger(__name__)

_MUCH = 0.1  # of the time, which all ranks together lose to the slowest loader
_IN_A_ROW = 3  # readings; one alone may be a hiccup


class Stragglers:
    """Looks at how long each rank waited for data, reading by reading."""

    def __init__(self) -> None:
        self._slowest: int | None = None
        self._times = 0

    def look(self, metrics: StepMetrics) -> None:
        """Warns when the same rank has waited much longer than the median rank for a while."""
        waits = metrics.data_waits
        if len(waits) < 2:
            return
        rank = max(range(len(waits)), key=waits.__getitem__)
        median = statistics.median_low(waits)
        slowest = rank if waits[rank] - median > _MUCH else None
        self._times = self._times + 1 if slowest == self._slowest else 1
        self._slowest = slowest
        if slowest is not None and self._times == _IN_A_ROW:
            logger.warning(
                "rank %d waits for data %.0f %% of its time at step %d, the median rank %.0f %%: "
                "the others wait for rank %d; look at the disk, network and cores of its node",
                rank, 100 * waits[rank], metrics.step, 100 * median, rank,
            )  # fmt: skip
