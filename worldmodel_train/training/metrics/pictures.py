"""Pictures of fixed clips while a run goes on: what is masked, and what the features see."""

from collections.abc import Mapping

import lightning.pytorch as pl
import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.utils.tensorboard.writer import SummaryWriter

from worldmodel_train.cartography.mask_overlay import mask_overlay
from worldmodel_train.cartography.pca_strip import feature_strip
from worldmodel_train.protocols import HasPictures, LatentPredictor
from worldmodel_train.training.clock import Clock
from worldmodel_train.training.evaluating import evaluating
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.step_callback import StepCallback
from worldmodel_train.types import ClipGroup, Content, MaskedClips


class Pictures(StepCallback):
    """Draws every `every_steps` steps into TensorBoard.

    All ranks compute what is drawn, because a sharded model computes only on all of them; the first
    one has a writer.
    """

    def __init__(
        self, content: Content, *, every_steps: int, writer: SummaryWriter | None, clock: Clock
    ) -> None:
        self._content = content
        self._every_steps = every_steps
        self._writer = writer
        self._clock = clock

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the masks, which stay, and what the untrained objective makes, to compare with."""
        assert isinstance(pl_module, TrainingModule)
        _require_pictures(pl_module.objective)
        if pl_module.step == 0:
            with self._clock.stopped():
                if isinstance(pl_module.objective, LatentPredictor):
                    self._write(_masks(pl_module.objective, self._clips()), step=0)
                self._draw(pl_module)

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Draws when it is time to."""
        if module.step % self._every_steps == 0 or module.step == module.plan.steps:
            with self._clock.stopped():
                self._draw(module)

    @torch.no_grad()
    def _draw(self, module: TrainingModule) -> None:
        objective = module.objective
        with evaluating(objective), module.autocast():
            if isinstance(objective, HasPictures):
                content = self._content.map(lambda tensor: tensor.to(module.device))
                drawn = objective.pictures(content)
            else:
                assert isinstance(objective, LatentPredictor), "looked at when training began"
                drawn = _features(objective, self._clips(), module.device)
        self._write(drawn, step=module.step)

    def _clips(self) -> ClipGroup:
        assert isinstance(self._content, MaskedClips)
        (group,) = self._content.groups
        return group

    def _write(self, pictures: Mapping[str, UInt8[Tensor, "h w c"]], *, step: int) -> None:
        if self._writer is not None:
            for name, picture in pictures.items():
                self._writer.add_image(name, picture.cpu().numpy(), step, dataformats="HWC")


def _require_pictures(objective: nn.Module) -> None:
    if not isinstance(objective, HasPictures | LatentPredictor):
        raise ValueError(
            f"log.image_every is set, but {type(objective).__name__} draws nothing; use null"
        )


def _masks(model: LatentPredictor, group: ClipGroup) -> Mapping[str, UInt8[Tensor, "h w c"]]:
    grid = model.token_grid(group.clips)
    return {
        f"masks/{number}": mask_overlay(group.clips, masks, grid)
        for number, masks in enumerate(group.masks)
    }


def _features(
    model: LatentPredictor, group: ClipGroup, device: torch.device
) -> Mapping[str, UInt8[Tensor, "h w c"]]:
    latents = model.encode(group.clips.to(device)).float().cpu()
    return {"features": feature_strip(group.clips, latents, model.token_grid(group.clips))}
