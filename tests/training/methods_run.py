"""Any tiny method on random contents, and a program that trains many of them one after another."""

import dataclasses
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from tests.contracts.methods import CONFIGS, build, content_for
from tests.training import toy_run as toy
from worldmodel_train.batch import Batch, Origin
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.types import Content

STEPS = 4
WHOLE = ("ddp", {"name": "deepspeed", "zero_stage": 2})  # each rank has all weights


def parts(run_dir: Path, method: str, **options: Any) -> RunSpec:
    """Parts of a run; `kill` is the step at which the first rank sends itself a SIGTERM.

    Each step and each rank has contents of its own, whatever a batch is said to be.
    """
    kill, config = options.pop("kill", None), CONFIGS[method]
    example = build(config)
    follows = any(pair.momentum is None for pair in example.ema_pairs())
    optim = OptimConfig.model_validate(toy.OPTIM | ({} if follows else {"ema": None}))
    defaults = {"steps": STEPS, "micro_batch": 2, "global_batch": 2}
    spec = toy.toy_parts(
        run_dir, objective=lambda: build(config), optim=optim, **defaults | options
    )

    def loader(
        *, rank: int, world_size: int, first_step: int, streams: object
    ) -> Iterator[Batch[Content]]:
        step = first_step
        while True:
            if step == kill and rank == 0:
                signal.raise_signal(signal.SIGTERM)
            number = step * world_size + rank
            content = content_for(config, example, seed=100 * number)
            yield Batch(content=content, origin=Origin(first_sample=2 * number))
            step += 1

    return dataclasses.replace(spec, build_loader=loader)


def main(runs: list[dict[str, Any]]) -> None:
    """Trains each run on two ranks; those that end early are meant to."""
    for options in runs:
        run_dir, whole = Path(options.pop("run_dir")), options["strategy"] in WHOLE
        spec, built = parts(run_dir, **options, global_batch=4), []

        def kept(spec: RunSpec = spec, built: list[Any] = built) -> Any:
            built.append(spec.build_objective())
            return built[-1]

        result = pretrain(dataclasses.replace(spec, build_objective=kept))
        assert result.exit_code in (0, 143), result
        if whole:
            _assert_ranks_agree(built[-1], options["method"])


def _assert_ranks_agree(objective: nn.Module, method: str) -> None:
    """All ranks have the same weights, to the bit; buffers may be each rank's own."""
    mine = torch.cat([parameter.detach().flatten() for parameter in objective.parameters()])
    first = mine.clone()
    dist.broadcast(first, src=0)
    assert torch.equal(first, mine), method
