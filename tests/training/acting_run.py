"""A toy that acts while it trains, and a program that kills it.

`python -m tests.training.acting_run OPTIONS_AS_JSON`
"""

import dataclasses
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.training import toy_run
from worldmodel_train.batch import Batch
from worldmodel_train.collection.config import CollectedConfig
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.preparation import as_read
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.types import Losses, Trajectories

DATA = CollectedConfig(
    name="data/collected", env="Pendulum-v1", steps=3, random_episodes=2, every_steps=3, longest=12
)


class Mover(nn.Module):
    """Learns where actions lead, and acts by what it has learned; dropout is for training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.3), nn.Linear(16, 3))

    def training_losses(self, content: Trajectories) -> Losses:
        before, after = content.observations[:, :-1], content.observations[:, 1:]
        predicted = self.model(torch.cat((before, content.actions), dim=-1))
        return Losses(total=(predicted - after).square().mean())

    def exploring(self) -> "Mover":
        return self

    def greedy(self) -> "Mover":
        return self

    def act(self, observation, memory, *, generator):
        assert not self.training
        assert not torch.is_grad_enabled()
        told = self.model(torch.cat((observation, torch.zeros(1, 1)), dim=-1))[:, :1]
        return (told + 0.1 * torch.randn(1, 1, generator=generator)).tanh(), None

    def ema_pairs(self) -> list[EmaPair]:
        return []

    def parameter_groups(self) -> list[ParameterGroup]:
        return parameter_groups(model=self.model)


def acting_parts(run_dir: Path, **options: Any) -> RunSpec:
    """A toy run that acts."""
    at_batch = options.pop("at_batch", lambda step: None)
    optim = OptimConfig.model_validate(toy_run.OPTIM | {"ema": None})
    defaults = {"objective": Mover, "optim": optim, "steps": 30, "save_every": 4}
    parts = toy_run.toy_parts(run_dir, **(defaults | options))
    train, collector = parts.train, DATA.collector(run_dir, seed=parts.train.seed)

    def loader(
        *, rank: int, world_size: int, first_step: int, streams: object
    ) -> Iterator[Batch[Trajectories]]:
        position = LoaderPosition(
            seed=train.seed,
            rank=rank,
            world_size=world_size,
            micro_batch=train.micro_batch,
            global_batch=train.global_batch,
            first_step=first_step,
        )
        for batch in collector.batches(as_read, position):
            at_batch(batch.origin.first_sample // train.global_batch)
            yield batch

    return dataclasses.replace(parts, build_loader=loader, collector=collector)


def main(options: dict[str, Any]) -> int:
    """Trains; `kills` times it is killed by `signal` at an instant that `chance` draws."""
    kills, chance = options.pop("kills", 0), random.Random(options.pop("chance", 0))
    name, run_dir = options.pop("signal", "SIGKILL"), Path(options.pop("run_dir"))
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = pretrain(acting_parts(run_dir, **options)).exit_code
            finally:
                os._exit(code)  # a fork must not run the parent's exit handlers
        before, end = last(run_dir), time.monotonic() + 60
        while last(run_dir) == before and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.1))
        os.kill(child, signal.Signals[name])
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": code, "step": last(run_dir)}), flush=True)  # noqa: T201  # its output
    return pretrain(acting_parts(run_dir, **options)).exit_code


def last(run_dir: Path) -> str:
    """What the pointer says."""
    pointer = run_dir / "checkpoints" / "last"
    return pointer.read_text().strip() if pointer.exists() else ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(json.loads(sys.argv[1])))
