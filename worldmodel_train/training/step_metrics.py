"""What is reported of one optimizer step."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """Numbers of one step, the same on every rank; names with `/` are nested in the logs."""

    step: int
    values: dict[str, float]
    non_finite: bool
    """Whether any loss since the last reading was NaN or infinite, on any rank."""
    data_waits: tuple[float, ...] = ()
    """For each rank, the share of its time that it waited for its loader."""

    @property
    def loss(self) -> float:
        """The step's loss over the global batch."""
        return self.values["loss"]
