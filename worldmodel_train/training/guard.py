"""Stops a run that is broken: a loss that is not finite, or latents that have collapsed.

What is only suspicious is said by `alarms.py`, and ends nothing.
"""

import json
import logging
import statistics
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PositiveInt

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.json_text import parse_model
from worldmodel_train.training.ranks.stalls import StallConfig
from worldmodel_train.training.spikes import SpikeConfig, Spikes, SpikeState
from worldmodel_train.training.step_metrics import StepMetrics

logger = logging.getLogger(__name__)

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
AlarmName = Literal[
    "collapse", "partial_collapse", "lagging_teacher", "copied_teacher", "exploding_gradients",
    "starving_loader", "loss_spike",
]  # fmt: skip


class GuardConfig(StrictConfig):
    """When a run counts as broken, and what happens then.

    A JEPA loss that rises after an early fall is normal and is not watched.
    """

    non_finite: Literal["stop", "warn"] = "stop"
    """A loss that is NaN or infinite."""
    collapse: Literal["stop", "warn", "ignore"] = "stop"
    """Target latents that have lost their rank or their spread, of a method that has any."""
    min_rank_share: Share = 0.1
    """Collapsed: RankMe of the targets below this share of its first reading."""
    min_std_share: Share = 0.1
    """Collapsed: per-dimension std of the targets below this share of its first reading."""
    patience: PositiveInt = 3
    """Readings in a row that must be below before the run counts as collapsed."""
    sudden_drop: Share = 0.5
    """Collapsed at once: loss *and* RankMe below this share of their recent medians."""
    silence: tuple[AlarmName, ...] = ()
    """Alarms that this run does not give, because what they see is meant to be so."""
    spikes: SpikeConfig | None = None
    """Steps that are passed over because their loss jumps; null takes all. Not under DeepSpeed."""
    stall: StallConfig = StallConfig()
    """When a wait for data or for other ranks is logged, with the name of who waits."""


RANK, STD = "monitors/target_rankme", "monitors/target_std"
_NON_FINITE = (
    "the loss became NaN or infinite at or before step {step}. Look at grad_norm and loss in the "
    "steps before (metrics.jsonl, TensorBoard). The last checkpoint is from before: begin another "
    "run_dir from it (train.init={{checkpoint: THIS RUN, optimizer: true}}) with a lower optim.lr, "
    "a longer warm-up, optim.clip_grad_norm, or train.precision=fp32; guard.non_finite=warn goes "
    "on regardless"
)
_COLLAPSED = (
    "the target latents {how} by step {step}: RankMe {rank:.1f} (first {first_rank:.1f}), "
    "std {std:.3g} (first {first_std:.3g}), loss {loss:.4g}. Look at monitors/ in TensorBoard: "
    "collapse shows as falling RankMe and std with cosine near 1 (a rising loss is normal). "
    "Checkpoints from before are kept: begin another run_dir from a good one (train.init) with a "
    "higher EMA momentum, a lower optim.lr or weight decay, or more masking; guard.collapse=warn "
    "goes on regardless"
)
_SPIKES = (
    "{skipped} steps were passed over because their loss jumped (guard.spikes), the last at step "
    "{step} with {loss:.4g}. Begin another run_dir from a checkpoint before (train.init) with a "
    "lower optim.lr or optim.clip_grad_norm, or raise guard.spikes.most"
)
_RECENT = 8  # readings whose medians a sudden drop is measured against


def lost_variety(now: Mapping[str, float], first: Mapping[str, float], config: GuardConfig) -> bool:
    """Whether rank or spread of the targets is far below that of the first reading."""
    limits = {RANK: config.min_rank_share, STD: config.min_std_share}
    return any(now[name] < share * first[name] for name, share in limits.items())


class BrokenRunError(ValueError):
    """The run is broken and was stopped; its last checkpoint is from before."""


class Guard:
    """Watches the readings. A function of them alone, so that every rank decides alike."""

    def __init__(self, config: GuardConfig) -> None:
        self._config = config
        self._first: dict[str, float] = {}
        self._recent: dict[str, list[float]] = {"loss": [], RANK: []}
        self._low_in_a_row = 0
        self.spikes = None if config.spikes is None else Spikes(config.spikes)

    def takes(self, loss: float, step: int) -> bool:
        """Whether the step with index `step` is taken, given the mean of its loss over ranks.

        Raises:
            BrokenRunError: Too many were not.
        """
        if self.spikes is None or self.spikes.passes(loss, step):
            return True
        if self.spikes.too_many:
            raise BrokenRunError(
                _SPIKES.format(skipped=self.spikes.skipped, step=step + 1, loss=loss)
            )
        return False

    def check(self, metrics: StepMetrics) -> None:
        """Looks at one reading.

        Raises:
            BrokenRunError: The run is broken and the configuration says stop.
        """
        if metrics.non_finite:
            self._act(self._config.non_finite, _NON_FINITE.format(step=metrics.step))
            return
        if self._config.collapse != "ignore" and RANK in metrics.values:
            problem = self._collapse(metrics)
            if problem:
                self._act(self._config.collapse, problem)

    @property
    def suspicious(self) -> bool:
        """Whether the last reading looked like collapse; older checkpoints must stay then."""
        return self._low_in_a_row > 0

    @property
    def stops_on_non_finite(self) -> bool:
        """Whether weights that are not finite end the run."""
        return self._config.non_finite == "stop"

    def state(self) -> dict[str, object]:
        """What to save; plain numbers, which later readings do not change.

        A checkpoint is written while training goes on, and says what was known at its step.
        """
        recent = {name: list(values) for name, values in self._recent.items()}
        state: dict[str, object] = {"first": dict(self._first), "recent": recent}
        state["low"] = self._low_in_a_row
        if self.spikes is not None:
            state["spikes"] = self.spikes.state().model_dump()
        return state

    def load(self, state: dict[str, object]) -> None:
        """Goes on from a saved state.

        Raises:
            ValueError: It is not one.
        """
        place = "the checkpoint's meta.json, watch"
        saved = parse_model(_GuardState, json.dumps(state), place, allow_nan=True)
        self._first, self._recent = dict(saved.first), {k: list(v) for k, v in saved.recent.items()}
        self._low_in_a_row = saved.low
        if self.spikes is not None:
            self.spikes.load(saved.spikes)

    def _collapse(self, metrics: StepMetrics) -> str | None:
        now = {name: metrics.values[name] for name in (RANK, STD)}
        self._first = self._first or now
        low = lost_variety(now, self._first, self._config)
        self._low_in_a_row = self._low_in_a_row + 1 if low else 0
        dropped = self._dropped(metrics)
        self._remember(metrics)
        if self._low_in_a_row < self._config.patience and not dropped:
            return None
        how = "fell suddenly together with the loss" if dropped else "lost most of their variety"
        return _COLLAPSED.format(
            how=how, step=metrics.step, loss=metrics.loss,
            rank=now[RANK], first_rank=self._first[RANK],
            std=now[STD], first_std=self._first[STD],
        )  # fmt: skip

    def _dropped(self, metrics: StepMetrics) -> bool:
        """Whether loss and rank are both far below their recent medians.

        The loss alone may fall: that is learning. The rank alone may fall early on.
        """
        if len(self._recent["loss"]) < _RECENT:
            return False
        return all(
            metrics.values[name] < self._config.sudden_drop * statistics.median(values)
            for name, values in self._recent.items()
        )

    def _remember(self, metrics: StepMetrics) -> None:
        for name, values in self._recent.items():
            self._recent[name] = [*values, metrics.values[name]][-_RECENT:]

    def _act(self, action: str, problem: str) -> None:
        if action == "stop":
            raise BrokenRunError(problem)
        logger.warning("%s", problem)


class _GuardState(StrictConfig):
    # a run that only warns goes on with latents whose rank is NaN
    model_config = ConfigDict(allow_inf_nan=True)

    first: dict[str, float]
    recent: dict[str, list[float]]
    low: int
    spikes: SpikeState = SpikeState()
