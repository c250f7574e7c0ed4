"""A tiny V-JEPA 2 on random clips, and a program that trains it many times over.

`python -m tests.training.vjepa_run RUNS_AS_JSON`: a list of options, one run after the other in the
same processes: to import what a sharded run needs takes longer than the run.
"""

import dataclasses
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from tests.training import toy_run as toy
from worldmodel_train.batch import Batch, Origin
from worldmodel_train.jepa.vjepa import Config, VJepa
from worldmodel_train.masks.multiblock3d import Multiblock3D
from worldmodel_train.models.blocks import Block
from worldmodel_train.probes.online import OnlineProbe
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.config import LogConfig, OnlineProbeConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.types import ClipGroup, MaskedClips, TokenGrid

GRID = TokenGrid(frames=2, height=4, width=4)


def group(step: int, samples: range) -> ClipGroup:
    """Random clips that depend on their sample numbers, under two mask groups.

    The class of a clip is whether its first pixel is bright.
    """
    shape = (len(samples), 4, 32, 32, 3)
    generator = torch.Generator().manual_seed(samples[0])
    masks = tuple(
        Multiblock3D(
            num_blocks=2, spatial_scale=(scale, scale), temporal_scale=(1.0, 1.0),
            aspect_ratio=(0.8, 1.2),
        ).sample(GRID, seed=number, step=step, samples=samples)
        for number, scale in enumerate((0.3, 0.5))
    )  # fmt: skip
    clips = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    labels = (clips[:, 0, 0, 0, 0] > 127).long()
    return ClipGroup(clips=clips, masks=masks, labels=labels)


def with_fp32_streams() -> VJepa:
    """A tiny V-JEPA 2 whose blocks insist on an fp32 stream."""
    config = Config.tiny()
    encoder, predictor = (
        part.model_copy(update={"stream": "fp32"}) for part in (config.encoder, config.predictor)
    )
    objective = config.model_copy(update={"encoder": encoder, "predictor": predictor}).build()
    for module in objective.modules():
        if isinstance(module, Block):
            module.register_forward_pre_hook(_assert_fp32)
    return objective


def _assert_fp32(block: Block, inputs: tuple[torch.Tensor, Any]) -> None:
    del block
    assert inputs[0].dtype == torch.float32, inputs[0].dtype


def vjepa_parts(run_dir: Path, **options: Any) -> RunSpec:
    """Parts of a run; `kill` = [signal name, step] sends the first rank a signal at a step."""
    kill, stream = options.pop("kill", None), options.pop("stream", "train")
    build = Config.tiny().build if stream == "train" else with_fp32_streams
    parts = toy.toy_parts(run_dir, objective=build, **options)
    micro_batch, global_batch = parts.train.micro_batch, parts.train.global_batch

    def loader(*, rank, world_size, first_step, streams):
        step, together = first_step, micro_batch * world_size
        while True:
            if kill and step == kill[1] and rank == 0:
                signal.raise_signal(signal.Signals[kill[0]])
            for part in range(step * global_batch, (step + 1) * global_batch, together):
                first = part + rank * micro_batch
                clips = group(step, range(first, first + micro_batch))
                yield Batch(content=MaskedClips(groups=(clips,)), origin=Origin(first_sample=first))
            step += 1

    return dataclasses.replace(parts, build_loader=loader)


def probed(every_steps: int = 2, clips: int = 1) -> dict[str, Any]:
    """Options of a run with an online probe."""
    config = OnlineProbeConfig(every_steps=every_steps, clips=clips)
    log = LogConfig(every_steps=1, online_probe=config)
    return {"log": log, "online_probe": OnlineProbe(2)}


def keeping(spec: RunSpec, built: list[Any]) -> Any:
    """The run's factory, which puts what it makes into `built`."""

    def build() -> Any:
        built.append(spec.build_objective())
        return built[-1]

    return build


def assert_teacher_is_the_rounded_ema(objective: Any, checkpoint: Path) -> None:
    """The teacher that computes is the fp32 EMA of the checkpoint, rounded to the model's dtype."""
    saved = read_weights(checkpoint)
    for name, parameter in objective.target_encoder.named_parameters():
        assert_rounded(parameter, saved[f"target_encoder.{name}"], name)


def assert_rounded(parameter: Any, expected: torch.Tensor, name: str) -> None:
    """What computes, wherever it lies, is this tensor rounded to the model's dtype."""
    used = parameter.data
    if isinstance(used, DTensor):
        used = used.full_tensor()
    elif hasattr(parameter, "ds_tensor"):  # ZeRO 3: this rank's slice
        used = parameter.ds_tensor.data
        start = dist.get_rank() * used.numel()
        expected = expected.flatten()[start : start + used.numel()]
        used = used[: expected.numel()]
    assert torch.equal(used.cpu(), expected.to(used.dtype)), name


def main(runs: list[dict[str, Any]]) -> None:
    """Trains each run; those that end early are meant to. What is compiled needs no C++."""
    torch.compile = partial(torch.compile, backend="aot_eager")
    for options in runs:
        run_dir, teacherless = Path(options.pop("run_dir")), options.pop("teacherless", False)
        clip = {"clip_grad": options.pop("clip", None)}
        if teacherless:
            optim = OptimConfig.model_validate(toy.OPTIM | {"ema": None})
            parts = toy.toy_parts(run_dir, objective=toy.TeacherlessToy, optim=optim, **options)
        else:
            optim = OptimConfig.model_validate(toy.OPTIM | clip)
            probe = probed() if options.pop("probed", False) else {}
            parts = vjepa_parts(run_dir, optim=optim, **options, **probe)
        built: list[Any] = []
        result = pretrain(dataclasses.replace(parts, build_objective=keeping(parts, built)))
        if result.exit_code == 0 and not teacherless:
            assert_teacher_is_the_rounded_ema(built[0], result.checkpoint)
        assert result.exit_code in (0, 143), result


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(json.loads(sys.argv[1]))
