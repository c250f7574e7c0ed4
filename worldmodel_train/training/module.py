"""The one LightningModule: it trains any Objective."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from worldmodel_train.protocols import Objective
from worldmodel_train.training.ema import Ema
from worldmodel_train.training.optim import OptimConfig, build_optimizer, set_schedules
from worldmodel_train.training.randomness import seed_forward
from worldmodel_train.types import Losses, VideoBatch


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the steps of a run need to know."""

    optim: OptimConfig
    steps: int
    seed: int
    log_every: int
    accumulation: int

    def observed(self, step: int) -> bool:
        """Whether metrics are read after `step` steps: the first, every n-th and the last."""
        return step == 1 or step % self.log_every == 0 or step == self.steps


class TrainingModule(pl.LightningModule):
    """Counts optimizer steps itself, so that a resumed run needs none of Lightning's state."""

    def __init__(self, objective: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.objective = objective
        """A module that is an Objective."""
        self.plan = plan
        self.step = 0
        """Optimizer steps taken, over all starts of this run."""
        self.micro_step = 0
        """Forward passes since the last optimizer step."""
        self.ema = Ema([])
        """The teachers; gathered when Lightning builds the optimizer, on the device."""
        self.observation = Observation()
        self.non_finite: Tensor | None = None
        """On the device: whether any loss since the last reading was NaN or infinite."""
        self.optimizer_state: dict[str, object] | None = None
        """Moments to start from; taken when Lightning builds the optimizer."""

    @property
    def method(self) -> Objective:
        """The objective, as a protocol."""
        return cast("Objective", self.objective)

    @property
    def optimizer(self) -> Optimizer:
        """The one optimizer, without Lightning's wrapper."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        return optimizer

    def configure_optimizers(self) -> Optimizer:
        """AdamW over the objective's groups, with its moments where there are any."""
        self.ema = Ema(self.method.ema_pairs())
        _check_momentum(self.ema, self.plan.optim)
        optimizer = build_optimizer(self.method.parameter_groups(), self.plan.optim)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
            for group in optimizer.param_groups:  # of a run with other settings, where it began so
                group["betas"], group["eps"] = self.plan.optim.betas, self.plan.optim.eps
            self.optimizer_state = None
        return optimizer

    def transfer_batch_to_device(
        self, batch: VideoBatch, device: torch.device, dataloader_idx: int
    ) -> VideoBatch:
        """The batch on `device`, copied while the device computes."""
        del dataloader_idx
        return batch.to(device)

    def training_step(self, batch: VideoBatch) -> Tensor:
        """The loss of one micro-batch."""
        seed_forward(self.plan.seed, self.step, self.micro_step, self.global_rank)
        losses = self.method.training_losses(batch)
        self._observe(losses)
        self.micro_step += 1
        return losses.total

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], object] | None = None,
    ) -> None:
        """One step: set the schedules, take the step (the closure computes it), move the teachers.

        The teachers move here, before any callback, so that no checkpoint holds a teacher that is
        one step behind its student.
        """
        plan = self.plan
        set_schedules(self.optimizer, plan.optim, self.step, plan.steps)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if plan.optim.ema is not None:
            self.ema.update(plan.optim.ema.at(self.step, plan.steps))
        self.step += 1
        self.micro_step = 0

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips where the recipe says so, and measures the norm where it will be reported.

        Lightning's own clipping refuses a fused optimizer under bf16.
        """
        del gradient_clip_val, gradient_clip_algorithm
        limit = self.plan.optim.clip_grad_norm
        if limit is None and not self.plan.observed(self.step + 1):
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if limit is not None:
            nn.utils.clip_grads_with_norm_(parameters, limit, norm)
        self.observation.grad_norm = norm

    def forget_observation(self) -> None:
        """Frees the latents that were kept for a reading, and starts watching for NaN anew."""
        self.observation = Observation()
        self.non_finite = None

    def _observe(self, losses: Losses) -> None:
        """Keeps what may be reported, on the device: nothing here waits for it."""
        total = losses.total.detach()
        bad = ~total.isfinite()
        self.non_finite = bad if self.non_finite is None else self.non_finite | bad
        if not self.plan.observed(self.step + 1):
            return
        if self.micro_step == 0:
            self.observation = Observation()
        self.observation.add(losses, 1.0 / self.plan.accumulation)


class Observation:
    """What one optimizer step leaves behind for the monitors; tensors on the device."""

    def __init__(self) -> None:
        self.scalars: dict[str, Tensor] = {}
        self.latents: dict[str, Tensor] = {}
        self.grad_norm: Tensor | None = None

    def add(self, losses: Losses, share: float) -> None:
        """Adds one micro-batch, which is `share` of the step."""
        values = {"loss": losses.total, **{f"terms/{k}": v for k, v in losses.terms.items()}}
        for name, value in values.items():
            self.scalars[name] = self.scalars.get(name, 0.0) + value.detach().float() * share
        self.latents = {"predicted": losses.predicted, "target": losses.target}


def _check_momentum(ema: Ema, config: OptimConfig) -> None:
    if ema and config.ema is None:
        raise ValueError(
            "optim.ema is null, but this method has a target encoder that follows; give a schedule"
        )
    if not ema and config.ema is not None:
        raise ValueError("optim.ema is set, but this method has no target encoder; use null")
