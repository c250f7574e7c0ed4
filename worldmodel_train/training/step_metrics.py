"""What is reported of one optimizer step."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """Numbers of one step, the same on every rank; names with `/` are nested in the logs."""

    step: int
    values: dict[str, float]
    non_finite: bool
    """Whether any loss since the last reading was NaN or infinite, on any rank."""
    data_waits: tuple[float, ...] = ()
    """For each rank, the share of its time that it waited for its loader."""
    alarms: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the reading gives reason to say, by the alarm's name."""

    @property
    def loss(self) -> float:
        """The step's loss over the global batch."""
        return self.values["loss"]
