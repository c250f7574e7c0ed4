"""The one LightningModule: it trains any Objective."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from worldmodel_train.batch import Batch
from worldmodel_train.models.strict_state import shapes_of
from worldmodel_train.protocols import AfterStep, EmaPair, FollowsStep, HasPhases, Objective
from worldmodel_train.training.layouts.layout import Layout
from worldmodel_train.training.optim import OptimConfig, build_optimizer, set_schedules
from worldmodel_train.training.phases import PhasedStep, without_reduction
from worldmodel_train.training.randomness import seed_forward
from worldmodel_train.training.spike_gate import SpikeGate
from worldmodel_train.types import Content, Losses


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the steps of a run need to know."""

    optim: OptimConfig
    steps: int
    seed: int
    log_every: int
    accumulation: int
    precision: Literal["bf16", "fp32"]

    def observed(self, step: int) -> bool:
        """Whether metrics are read after `step` steps: the first, every n-th and the last."""
        return step == 1 or step % self.log_every == 0 or step == self.steps


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What happens to the objective before the first step, on the devices it is trained on."""

    shard: Callable[["TrainingModule"], None]
    """Cuts the objective up, where the strategy wants it so before there is an optimizer."""
    lay_out: Callable[["TrainingModule"], Layout]
    """Finds where the strategy keeps the state."""
    fill: Callable[[Layout], None]
    """Fills the state from a checkpoint, or leaves it as it was drawn."""


class TrainingModule(pl.LightningModule):
    """Counts optimizer steps itself, so that a resumed run needs none of Lightning's state."""

    def __init__(
        self,
        objective: nn.Module,
        plan: Plan,
        beginning: Beginning,
        *,
        step: int = 0,
        gate: SpikeGate | None = None,
    ) -> None:
        super().__init__()
        self.objective = objective
        """A module that is an Objective."""
        self.shapes = shapes_of(objective.state_dict())
        """Of all tensors of the objective's state, before a strategy cuts them up."""
        self.plan = plan
        self.step = step
        """Optimizer steps taken, over all starts of this run."""
        self.micro_step = 0
        """Forward passes since the last optimizer step."""
        self.observation = Observation()
        self.non_finite: Tensor | None = None
        """On the device: whether any loss or gradient since the last reading was not finite."""
        self._gate = gate
        self._beginning = beginning
        self._layout: Layout | None = None
        self._optimizer: AdamW | None = None
        self._phased = PhasedStep.of(objective) if isinstance(objective, HasPhases) else None

    @property
    def method(self) -> Objective[Content]:
        """The objective, as a protocol."""
        return cast("Objective[Content]", self.objective)

    @property
    def optimizer(self) -> AdamW:
        """The optimizer, without the wrappers of Lightning and DeepSpeed."""
        assert self._optimizer is not None, "asked for before Lightning has built it"
        return self._optimizer

    @property
    def layout(self) -> Layout:
        """Where the state lies."""
        assert self._layout is not None, "asked for before the strategy has set up the model"
        return self._layout

    def autocast(self) -> torch.autocast:
        """The precision that the objective computes in.

        Training enters it itself: around Lightning's step, DeepSpeed would switch it off.
        """
        in_bf16 = self.plan.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=in_bf16)

    def configure_model(self) -> None:
        """Cuts the objective up where the strategy wants it."""
        self._beginning.shard(self)

    def configure_optimizers(self) -> Optimizer:
        """AdamW over the objective's groups."""
        _check_momentum(self.plan.optim, self.method.ema_pairs())
        self._optimizer = build_optimizer(self.method.parameter_groups(), self.plan.optim)
        return self._optimizer

    def on_fit_start(self) -> None:
        """Finds where the state lies and fills it."""
        self._layout = self._beginning.lay_out(self)
        self._beginning.fill(self._layout)

    def transfer_batch_to_device(
        self, batch: Batch[Content], device: torch.device, dataloader_idx: int
    ) -> Batch[Content]:
        """The batch on `device`; its copy began when it was asked for (`prefetch.py`)."""
        del dataloader_idx
        return batch.to(device)

    def training_step(self, batch: Batch[Content]) -> Tensor:
        """The loss of one micro-batch, or of its first phase."""
        seed_forward(self.plan.seed, self.step, self.micro_step, self.global_rank)
        if self.micro_step == 0 and self.plan.observed(self.step + 1):
            self.observation = Observation()
        if isinstance(self.objective, FollowsStep):
            self.objective.begin_step(self.step)
        if self._phased is not None:
            self._phased.begin(batch.content)
            total = self._phase_loss(self._phased)
        else:
            with self.autocast():
                losses = self.method.training_losses(batch.content)
            self._observe(losses)
            total = losses.total
        if self._gate is not None:
            self._gate.add(total.detach(), self.plan.accumulation)
        self.micro_step += 1
        return total

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], object] | None = None,
    ) -> None:
        """One step: set the schedules, take the step (the closure computes it), move the teachers.

        An objective puts its weights in order in between, so that teachers follow these.

        DeepSpeed counts micro-batches itself, so Lightning calls this after each of them. The
        teachers move here, before any callback, so that no checkpoint holds a teacher that is one
        step behind its student.
        """
        plan = self.plan
        set_schedules(self.optimizer, plan.optim, self.step, plan.steps)
        with without_reduction(self.trainer.strategy, self._phased):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self._phased is not None:
            self._later_phases(self._phased)
        if self.micro_step < plan.accumulation:
            return
        if isinstance(self.objective, AfterStep):
            with torch.no_grad():
                self.objective.after_step()
        ema = plan.optim.ema
        self.layout.update_teachers(None if ema is None else ema.at(self.step, plan.steps))
        if self._phased is None:
            self._observe_norm(self.layout.gradient_norm())
            self.observation.part_norms = dict(self.layout.part_norms())
        self.step += 1
        self.micro_step = 0

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips where the recipe says so, and measures the norm where it will be reported."""
        del optimizer, gradient_clip_val, gradient_clip_algorithm
        if self._phased is not None:
            self._phased.keep_own_gradients()
        elif self.plan.observed(self.step + 1):
            self.layout.watch_parts()
        self._clip()
        if self._gate is not None and not self._gate.opens(self.step):
            # AdamW passes over what has no gradient
            self.optimizer.zero_grad(set_to_none=True)

    def _clip(self) -> None:
        clip = self.plan.optim.clipping_at(self.step)
        if clip is not None or self.plan.observed(self.step + 1):
            self.layout.clip_gradients(clip)

    def _phase_loss(self, phased: PhasedStep) -> Tensor:
        with self.autocast():
            losses = phased.losses()
        self._observe(losses, phase=phased.name)
        return losses.total

    def _later_phases(self, phased: PhasedStep) -> None:
        """The steps after the one that Lightning has counted, on the same optimizer."""
        norms = [self.layout.gradient_norm()]
        while phased.go_on():
            self.optimizer.zero_grad()
            self._phase_loss(phased).backward()
            phased.keep_own_gradients()
            self._clip()
            self.optimizer.step()
            norms.append(self.layout.gradient_norm())
        measured = [norm for norm in norms if norm is not None]
        if measured:
            self.observation.add_norms(phased.names, measured)
            self._observe_norm(torch.stack(measured).norm())

    def passed_over(self) -> dict[str, float]:
        """The number of steps that were not taken, where any may be."""
        return {} if self._gate is None else {"passed_over": float(self._gate.skipped)}

    def forget_observation(self) -> None:
        """Frees the latents that were kept for a reading, and starts watching for NaN anew."""
        self.observation = Observation()
        self.non_finite = None

    def _observe(self, losses: Losses, *, phase: str = "") -> None:
        """Keeps what may be reported, on the device: nothing here waits for it."""
        self._watch(losses.total.detach())
        if self.plan.observed(self.step + 1):
            self.observation.add(losses, 1.0 / self.plan.accumulation, phase)

    def _observe_norm(self, norm: Tensor | None) -> None:
        """Keeps the gradients' norm; where masters are on the host, so is their norm."""
        if norm is not None:
            self.observation.grad_norm = norm.to(self.device)
            self._watch(self.observation.grad_norm)

    def _watch(self, value: Tensor) -> None:
        bad = ~value.isfinite()
        self.non_finite = bad if self.non_finite is None else self.non_finite | bad


class Observation:
    """What one optimizer step leaves behind for the monitors; tensors on the device."""

    def __init__(self) -> None:
        self.scalars: dict[str, Tensor] = {}
        self.latents: dict[str, Tensor] = {}
        self.samples: Tensor | None = None
        self.part_norms: dict[str, Tensor] = {}
        self.grad_norm: Tensor | None = None

    def add(self, losses: Losses, share: float, phase: str = "") -> None:
        """Adds one micro-batch, which is `share` of the step, or one of its phases.

        The losses of phases add up; each phase has its own and its terms under its name.
        """
        place, own = ("terms", {}) if not phase else (f"terms/{phase}", {"loss": losses.total})
        terms = {f"{place}/{name}": value for name, value in {**own, **losses.terms}.items()}
        for name, value in {"loss": losses.total, **terms}.items():
            self.scalars[name] = self.scalars.get(name, 0.0) + value.detach().float() * share
        if losses.latents:
            self.latents, self.samples = dict(losses.latents), losses.samples

    def add_norms(self, phases: Sequence[str], norms: Sequence[Tensor]) -> None:
        """Adds the norm of the gradients of each phase."""
        for name, norm in zip(phases, norms, strict=True):
            self.scalars[f"terms/{name}/grad_norm"] = norm


def _check_momentum(config: OptimConfig, pairs: Sequence[EmaPair]) -> None:
    follows = any(pair.momentum is None for pair in pairs)
    if follows and config.ema is None:
        raise ValueError(
            "optim.ema is null, but this method has a target encoder that follows; give a schedule"
        )
    if not follows and config.ema is not None:
        raise ValueError(
            "optim.ema is set, but this method has no target encoder that follows it; use null"
        )
