"""How evenly attention looks around, at each step whose metrics are read."""

import lightning.pytorch as pl
import torch
from jaxtyping import UInt8
from torch import Tensor

from worldmodel_train.batch import Batch
from worldmodel_train.models.attention_entropy import attention_entropies
from worldmodel_train.protocols import Encoder
from worldmodel_train.training.evaluating import evaluating
from worldmodel_train.training.metrics.watched_clips import few_clips
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.step_callback import StepCallback
from worldmodel_train.types import Content

_CLIPS = 2


class AttentionWatch(StepCallback):
    """Adds entropies of an encoder's attention to what the reporter, which comes next, reads.

    Each rank encodes a few clips of its last micro-batch; the reading is the mean over ranks.
    """

    def __init__(self) -> None:
        self._clips: UInt8[Tensor, "b t h w c"] | None = None
        self._due = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks whether the first step is read."""
        assert isinstance(pl_module, TrainingModule)
        self._look_ahead(pl_module)

    def on_batch(self, batch: Batch[Content]) -> None:
        """Keeps a few clips of the last micro-batch of a step that is read."""
        if self._due:
            few = few_clips(batch.content, _CLIPS)
            self._clips = None if few is None else few[0]

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Measures when it is time to."""
        clips, encoder = self._clips, module.objective
        if clips is not None and isinstance(encoder, Encoder):
            with evaluating(encoder), module.autocast():
                found = attention_entropies(encoder, lambda: encoder.encode(clips))
            if found:
                layers = torch.stack(list(found))
                values = {"": layers.mean(), "_least": layers.amin(), "_most": layers.amax()}
                name = "monitors/attention_entropy"
                module.observation.scalars |= {f"{name}{key}": v for key, v in values.items()}
        self._clips = None
        self._look_ahead(module)

    def _look_ahead(self, module: TrainingModule) -> None:
        self._due = module.plan.observed(module.step + 1)
