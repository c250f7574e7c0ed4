"""Lets the online probe look at a few clips of the batch that was just trained on."""

from collections.abc import Sequence

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import pad

from worldmodel_train.batch import Batch
from worldmodel_train.collectives import num_ranks
from worldmodel_train.probes.online import OnlineProbe, ProbedRows, cells_of
from worldmodel_train.protocols import Encoder
from worldmodel_train.training.config import OnlineProbeConfig
from worldmodel_train.training.evaluating import evaluating
from worldmodel_train.training.metrics.watched_clips import few_clips
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.step_callback import StepCallback
from worldmodel_train.types import Content

_NO_LABEL = -1.0

Labelled = tuple[UInt8[Tensor, "b t h w c"], Int[Tensor, " b"]]


class Probing(StepCallback):
    """Probes every few steps, before the reporter, which reads what the probe has come to.

    All ranks encode, once for each micro-batch, because a sharded model computes only on all of
    them; and all learn from the clips of all, in the order of the micro-batches, so that the
    numbers do not hang on how many ranks there are.
    """

    def __init__(self, probe: OnlineProbe, config: OnlineProbeConfig) -> None:
        self._probe = probe
        self._config = config
        self._due = False
        self._clips: list[Labelled] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks whether the first step is probed."""
        assert isinstance(pl_module, TrainingModule)
        self._look_ahead(pl_module.step)

    def on_batch(self, batch: Batch[Content]) -> None:
        """Keeps a few clips of each micro-batch of a step that is probed."""
        if self._due:
            self._clips.append(_labelled(batch.content, self._config.clips))

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Probes when it is time to."""
        if self._due:
            self._probe.take(_of_all_ranks(self._rows(module)))
        self._clips.clear()
        self._look_ahead(module.step)

    def _look_ahead(self, step: int) -> None:
        self._due = (step + 1) % self._config.every_steps == 0

    @torch.no_grad()
    def _rows(self, module: TrainingModule) -> list[ProbedRows]:
        """Of each micro-batch."""
        encoder = module.objective
        assert isinstance(encoder, Encoder), "the recipe was checked for it"
        with evaluating(module.objective), module.autocast():
            latents = [encoder.encode(clips).float().mean(dim=1) for clips, _ in self._clips]
        return [
            _padded(ProbedRows(latents=mean, pixels=cells_of(clips), labels=labels), self._config)
            for mean, (clips, labels) in zip(latents, self._clips, strict=True)
        ]


def _labelled(content: Content, number: int) -> Labelled:
    few = few_clips(content, number)
    assert few is not None, "the recipe was checked for it"
    clips, labels = few
    assert labels is not None, "the recipe was checked for it"
    assert labels.dtype != torch.bool, "so it was for one label of each"
    return clips, labels


def _padded(rows: ProbedRows, config: OnlineProbeConfig) -> ProbedRows:
    """As many rows on every rank, whatever lengths its clips have."""
    missing = config.clips - len(rows.labels)
    return ProbedRows(
        latents=pad(rows.latents, (0, 0, 0, missing)),
        pixels=pad(rows.pixels, (0, 0, 0, missing)),
        labels=pad(rows.labels, (0, missing), value=_NO_LABEL),
    )


def _of_all_ranks(parts: Sequence[ProbedRows]) -> ProbedRows:
    """The rows of all ranks and micro-batches in the order of the run's samples."""
    own = torch.stack([_side_by_side(part) for part in parts])
    ranks = num_ranks()
    if ranks > 1:
        found = own.new_empty(ranks * len(own), *own.shape[1:])
        dist.all_gather_into_tensor(found, own)
        own = rearrange(found, "(ranks parts) p f -> (parts ranks) p f", ranks=ranks)
    latents, pixels, labels = rearrange(own, "n p f -> (n p) f").split(
        (parts[0].latents.shape[1], parts[0].pixels.shape[1], 1), dim=1
    )
    return ProbedRows(latents=latents, pixels=pixels, labels=labels[:, 0].long())


def _side_by_side(rows: ProbedRows) -> Float[Tensor, "p f"]:
    labels = rows.labels[:, None].float()  # exact up to 2^24 classes
    return torch.cat((rows.latents, rows.pixels, labels), dim=1)
