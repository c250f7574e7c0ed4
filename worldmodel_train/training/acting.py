"""Acting while a run trains."""

from collections.abc import Sequence

import lightning.pytorch as pl
import torch

from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.training.collector import Collector
from worldmodel_train.training.evaluating import evaluating
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.run_context import RunContext
from worldmodel_train.training.step_callback import StepCallback


class Acting(StepCallback):
    """Acts when the collector says so; before the saver, whose checkpoint counts the episodes.

    The first rank acts, and the others take what it did. The generators of training are as before.
    """

    def __init__(self, collector: Collector, context: RunContext, *, rank: int) -> None:
        self._collector = collector
        self._context = context
        self._acts = rank == 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Acts out what the first step learns from; a run that resumes has read it.

        Lightning asks for the first batch before it says that training starts.
        """
        assert isinstance(pl_module, TrainingModule)
        if pl_module.step == 0:
            self._act(pl_module)

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Acts when it is time to."""
        if self._collector.due(module.step):
            self._act(module)

    def _act(self, module: TrainingModule) -> None:
        with self._context.clock.stopped():
            acted = self._episodes(module) if self._acts else ()
            episodes = self._context.agreement.gather(acted)[0]
            self._collector.add(episodes, write=self._acts)

    @torch.no_grad()
    def _episodes(self, module: TrainingModule) -> Sequence[Episode]:
        on_gpu = [module.device] if module.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=on_gpu),
            evaluating(module.objective),
            module.autocast(),
        ):
            return self._collector.act(module.objective, module.step)
