"""What a run is made of, and how it ended."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from worldmodel_train.batch import Batch
from worldmodel_train.data.health import SkipLedger
from worldmodel_train.data.stream_positions import StreamState
from worldmodel_train.facts import EpisodeFacts
from worldmodel_train.models.cost import StepCost
from worldmodel_train.probes.online import OnlineProbe
from worldmodel_train.protocols import Objective
from worldmodel_train.training.checkpoints.folder import CheckpointConfig
from worldmodel_train.training.collector import Collector
from worldmodel_train.training.config import LogConfig, TrainConfig
from worldmodel_train.training.guard import GuardConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.step_metrics import StepMetrics
from worldmodel_train.types import Content


@runtime_checkable
class LoaderFactory(Protocol):
    """Builds the loader; knows the recipe, so only what the launch decides is asked for."""

    def __call__(
        self, *, rank: int, world_size: int, first_step: int, streams: StreamState | None = None
    ) -> Iterable[Batch[Content]]:
        """Micro-batches of `rank` from optimizer step `first_step` on, forever.

        Sources that stream resume where `streams` says.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """All that a run is made of.

    Weights are drawn and batches are read once recipe and launch have passed their checks. To size
    the run, `cost` and a strategy that is `auto` may open data and other runs before that.
    """

    build_objective: Callable[[], Objective[Content]]
    """Draws the weights from torch's global generator, which is seeded before."""
    build_loader: LoaderFactory
    load_pictures: Callable[[], Content] | None
    """Fixed clips to draw every `log.image_every` steps; None draws nothing."""
    ledger: SkipLedger
    """Counts what batches had to leave out, and stops a run that leaves out too much."""
    train: TrainConfig
    optim: OptimConfig
    checkpoint: CheckpointConfig
    log: LogConfig
    guard: GuardConfig
    recipe_yaml: str
    """The resolved recipe."""
    read_recipe: Callable[[Path], str]
    """A stored recipe, resolved again: an older version did not write what has a default now."""
    run_dir: Path
    open_episodes: Callable[[], EpisodeFacts | None]
    """What the objective was told of episodes; None of data that holds none."""
    cost: Callable[[], StepCost | None]
    """What a step costs; without it there is no MFU, and nothing can be `auto` that hangs on it."""
    collector: Collector | None = None
    """Acts while the run trains; None where all data is there before."""
    online_probe: OnlineProbe | None = None
    """Reads labels off the latents while the run trains, as `log.online_probe` says."""
    resume: Literal["auto", "never"] = "auto"
    profile_steps: int | None = None
    """Steps of this start to trace; None traces nothing."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended."""

    step: int
    steps: int
    run_dir: Path
    checkpoint: Path | None
    """The last checkpoint."""
    stopped_by: int = 0
    """The signal that ended it early, 0 for none."""
    last_metrics: StepMetrics | None = None

    @property
    def exit_code(self) -> int:
        """0, or 128 + signal as shells expect it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.stopped_by if self.stopped_by else 0
