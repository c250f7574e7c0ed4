"""A toy objective and loader, and a program that trains them.

`python -m tests.training.toy_run OPTIONS_AS_JSON`
"""

import copy
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from worldmodel_train.batch import Batch, Origin, Skip
from worldmodel_train.data.health import SkipLedger
from worldmodel_train.models.cost import MemoryUse
from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.protocols import EmaPair, ParameterGroup, Phase
from worldmodel_train.training.checkpoints.folder import CheckpointConfig
from worldmodel_train.training.config import LogConfig, TrainConfig
from worldmodel_train.training.guard import GuardConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.types import ClipGroup, Losses, MaskedClips, Masks

OPTIM = {
    "lr": {"name": "warmup_constant", "start": 1e-3, "peak": 1e-2, "warmup_steps": 3},
    "weight_decay": {"name": "cosine", "start": 0.04, "end": 0.4},
    "ema": {"name": "linear", "start": 0.9, "end": 1.0},
}


class ToyJepa(nn.Module):
    """Predicts the teacher's view of a clip; dropout makes it depend on the generator."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(24, 16), nn.GELU(), nn.Linear(16, 8))
        self.encoder.register_buffer("passes", torch.zeros(()))
        self.teacher = copy.deepcopy(self.encoder).requires_grad_(requires_grad=False)
        self.predictor = nn.Sequential(nn.Dropout(dropout), nn.Linear(8, 8))

    def training_losses(self, content: MaskedClips) -> Losses:
        pixels = content.groups[0].clips.flatten(1).float() / 255
        self.encoder.passes += 1
        predicted = self.predictor(self.encoder(pixels)).float()
        with torch.no_grad():
            target = functional.layer_norm(self.teacher(pixels).float(), (8,))
        total = (predicted - target).abs().mean()
        return Losses(
            total=total,
            terms={"l1": total.detach()},
            latents={"predicted": predicted.detach(), "target": target},
        )

    def ema_pairs(self) -> list[EmaPair]:
        return [EmaPair(student=self.encoder, teacher=self.teacher)]

    def parameter_groups(self) -> list[ParameterGroup]:
        return parameter_groups(encoder=self.encoder, predictor=self.predictor)


class SpikyToy(ToyJepa):
    """Its loss is a thousand times as large in the seventh step, on some of the ranks."""

    SPIKE = 6

    def __init__(self, dropout: float = 0.3, ranks: tuple[int, ...] = (0,)) -> None:
        super().__init__(dropout)
        self.jumps = int(os.environ.get("RANK", "0")) in ranks
        self.factor = 1.0

    def begin_step(self, step: int) -> None:
        self.factor = 1000.0 if self.jumps and step == self.SPIKE else 1.0

    def training_losses(self, content: MaskedClips) -> Losses:
        losses = super().training_losses(content)
        return Losses(total=losses.total * self.factor, latents=losses.latents)


def frozen_part(seed: int = 0) -> FrozenPart:
    """A network whose weights depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Linear(24, 8)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return FrozenPart(network, origin=f"seed {seed}")


class TeacherlessToy(nn.Module):
    """Predicts what a frozen network sees and its own encoder does; no teacher follows."""

    def __init__(self, frozen: FrozenPart | None = None) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(24, 16), nn.GELU(), nn.Linear(16, 8))
        self.predictor = nn.Linear(8, 8)
        self.frozen = frozen or frozen_part()

    def training_losses(self, content: MaskedClips) -> Losses:
        pixels = content.groups[0].clips.flatten(1).float() / 255
        latents = self.encoder(pixels)
        predicted = self.predictor(latents).float()
        with torch.no_grad():
            target = self.frozen.on(pixels.device)(pixels).float()
        total = (predicted - target).square().mean() + (latents.var(0) - 1).square().mean()
        watched = {"predicted": predicted.detach(), "target": latents.detach()}
        return Losses(total=total, latents=watched)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        return {"frozen": self.frozen}

    def ema_pairs(self) -> list[EmaPair]:
        return []

    def parameter_groups(self) -> list[ParameterGroup]:
        return parameter_groups(encoder=self.encoder, predictor=self.predictor)


class PhasedToy(nn.Module):
    """A critic that predicts a clip's brightness, then an actor that pleases it."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(24, 16), nn.Dropout(dropout), nn.Linear(16, 1))
        self.actor = nn.Linear(8, 24)
        self.teacher = copy.deepcopy(self.critic).requires_grad_(requires_grad=False)

    def phases(self, content: MaskedClips) -> list[Phase]:
        pixels = content.groups[0].clips.flatten(1).float() / 255

        def critic() -> Losses:
            total = (self.critic(pixels)[:, 0] - pixels.mean(1)).square().mean()
            return Losses(total=total, terms={"l2": total.detach()})

        def actor() -> Losses:
            return Losses(total=-self.critic(self.actor(pixels[:, :8]).tanh()).mean())

        critics = ("critic", "critic_no_decay")
        return [
            Phase(name="critic", groups=critics, losses=critic),
            Phase(name="actor", groups=("actor", "actor_no_decay"), losses=actor),
        ]

    def training_losses(self, content: MaskedClips) -> Losses:
        return Losses(total=sum(phase.losses().total for phase in self.phases(content)))

    def ema_pairs(self) -> list[EmaPair]:
        return [EmaPair(student=self.critic, teacher=self.teacher)]

    def parameter_groups(self) -> list[ParameterGroup]:
        return parameter_groups(critic=self.critic, actor=self.actor)


class ToyCost:
    """A `StepCost`; its memory is said by the test that asks for it."""

    parameters = flops = MappingProxyType({})
    tables = ()
    model_flops = 1e3

    def __init__(self, memory: Callable[..., int] = lambda plan, sharding: 0) -> None:
        self._memory = memory

    def memory(self, plan: Any, sharding: Any, precision: str) -> MemoryUse:
        return MemoryUse(parts={"all": self._memory(plan, sharding)}, worst="loss")


def make_batch(first: int, count: int, skipped: tuple[Skip, ...] = ()) -> Batch[MaskedClips]:
    """Clips that depend on their sample number alone."""
    clips = [
        torch.randint(256, (2, 2, 2, 3), generator=torch.Generator().manual_seed(g)).byte()
        for g in range(first, first + count)
    ]
    ids = torch.zeros(count, 1, dtype=torch.int64)
    masks = Masks(context_index=ids, target_index=ids[:, None])
    group = ClipGroup(clips=torch.stack(clips), masks=(masks,))
    return Batch(
        content=MaskedClips(groups=(group,)), origin=Origin(first_sample=first, skipped=skipped)
    )


def toy_parts(run_dir: Path, **options: Any) -> RunSpec:
    """Parts of a toy run; options are TrainConfig fields or one of those named below."""
    at_batch = options.pop("at_batch", lambda step: None)
    objective = options.pop("objective", None)
    dropout = options.pop("dropout", 0.3)
    every = options.pop("save_every", 100)
    bad = tuple(Skip("truncated", "a.tar", str(i)) for i in range(options.pop("bad", 0)))
    others = {
        name: options.pop(name)
        for name in (
            "resume",
            "load_pictures",
            "cost",
            "guard",
            "log",
            "checkpoint",
            "optim",
            "online_probe",
        )
        if name in options
    }
    values = {"steps": 8, "global_batch": 4, "micro_batch": 4, "seed": 3, "precision": "fp32"}
    train = TrainConfig.model_validate(values | options)

    def loader(
        *, rank: int, world_size: int, first_step: int, streams: object
    ) -> Iterator[Batch[MaskedClips]]:
        step, together = first_step, train.micro_batch * world_size
        while True:
            at_batch(step)
            for first in range(0, train.global_batch, together):
                start = step * train.global_batch + first + rank * train.micro_batch
                yield make_batch(start, train.micro_batch, bad)
            step += 1

    defaults: dict[str, Any] = {
        "load_pictures": None,
        "optim": OptimConfig.model_validate(OPTIM),
        "checkpoint": CheckpointConfig(every_steps=every, keep_last=100),
        "log": LogConfig(every_steps=1),
        "guard": GuardConfig(collapse="ignore"),
        "recipe_yaml": f"name: toy\ntrain: {train.model_dump_json()}\n",
        "read_recipe": Path.read_text,
        "cost": ToyCost,
        "open_episodes": lambda: None,
    }
    return RunSpec(
        build_objective=objective or (lambda: ToyJepa(dropout)),
        build_loader=loader,
        ledger=SkipLedger(max_bad_share=0.5),
        train=train,
        run_dir=run_dir,
        **(defaults | others),
    )


def main(options: dict[str, Any]) -> int:
    """Trains.

    `kill` = [signal name, step] sends this process a signal as it asks for a batch, `late` = [rank,
    step, seconds] keeps a rank waiting for it, `bad` = [rank, samples] are skipped in each batch,
    `jumping` are the ranks whose loss jumps in one step.
    """
    kill, late, bad = (options.pop(name, None) for name in ("kill", "late", "bad"))
    pace, rank = options.pop("pace", 0.0), int(os.environ.get("RANK", "0"))
    options["guard"] = GuardConfig.model_validate({"collapse": "ignore"} | options.pop("guard", {}))

    def at_batch(step: int) -> None:
        time.sleep(pace)
        if kill and step == kill[1]:
            os.kill(os.getpid(), signal.Signals[kill[0]])
        if late and [rank, step] == late[:2]:
            time.sleep(late[2])

    if options.pop("phased", False):
        options["objective"] = partial(PhasedToy, options.pop("dropout", 0.3))
    if jumping := options.pop("jumping", None):
        options["objective"] = partial(SpikyToy, ranks=tuple(jumping))
    run_dir = Path(options.pop("run_dir"))
    num_bad = bad[1] if bad and rank == bad[0] else 0
    return pretrain(toy_parts(run_dir, at_batch=at_batch, bad=num_bad, **options)).exit_code


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(json.loads(sys.argv[1])))
