"""Pictures of fixed clips while a run goes on: what is masked, and what the features see."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.tensorboard.writer import SummaryWriter

from worldmodel_train.cartography.mask_overlay import mask_overlay
from worldmodel_train.cartography.pca_strip import feature_strip
from worldmodel_train.protocols import LatentPredictor
from worldmodel_train.training.clock import Clock
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.step_callback import StepCallback
from worldmodel_train.types import Content, MaskedClips


class Pictures(StepCallback):
    """Draws every `every_steps` steps into TensorBoard.

    All ranks compute what is drawn, because a sharded model computes only on all of them; the first
    one has a writer.
    """

    def __init__(
        self, content: Content, *, every_steps: int, writer: SummaryWriter | None, clock: Clock
    ) -> None:
        assert isinstance(content, MaskedClips)
        (self._group,) = content.groups
        self._every_steps = every_steps
        self._writer = writer
        self._clock = clock

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the masks, which stay, and the untrained features, to compare with."""
        assert isinstance(pl_module, TrainingModule)
        if pl_module.step == 0:
            with self._clock.stopped():
                self._draw_masks(pl_module)
                self._draw(pl_module)

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Draws when it is time to."""
        if module.step % self._every_steps == 0 or module.step == module.plan.steps:
            with self._clock.stopped():
                self._draw(module)

    def _draw_masks(self, module: TrainingModule) -> None:
        grid = cast("LatentPredictor", module.objective).token_grid(self._group.clips)
        for number, masks in enumerate(self._group.masks):
            if self._writer is not None:
                picture = mask_overlay(self._group.clips, masks, grid)
                self._writer.add_image(f"masks/{number}", picture.numpy(), 0, dataformats="HWC")

    @torch.no_grad()
    def _draw(self, module: TrainingModule) -> None:
        model = cast("LatentPredictor", module.objective)
        clips = self._group.clips.to(module.device)
        with _evaluating(module.objective), module.autocast():
            latents = model.encode(clips).float().cpu()
        if self._writer is None:
            return
        strip = feature_strip(self._group.clips, latents, model.token_grid(clips))
        self._writer.add_image("features", strip.numpy(), module.step, dataformats="HWC")


@contextmanager
def _evaluating(objective: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode inside, and in its own mode again after."""
    modes = [(module, module.training) for module in objective.modules()]
    objective.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
