"""Short runs of any method on clips that change from step to step, and what alarms they give."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from tests.contracts.methods import content_for
from tests.training import toy_run as toy
from worldmodel_train.training.config import LogConfig
from worldmodel_train.training.guard import GuardConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Batch, Content, Origin

STEPS = 40


def given(run_dir: Path) -> dict[str, str]:
    """The alarms that a run has given, by name."""
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return {
        name: text for line in lines for name, text in json.loads(line).get("alarms", {}).items()
    }


def run(
    run_dir: Path, config: Any, *, objective: Any = None, optim: Any = (), seed: int = 0,
    seconds_to_read: float = 0.0, steps: int = STEPS,
) -> dict[str, str]:  # fmt: skip
    """The alarms of a run; `optim` replaces settings of the toy's, `objective` what is built."""
    build = objective or config.build
    example = build()
    content = content_for(config, example)
    settings = toy.OPTIM | ({"ema": None} if not follows(example) else {}) | dict(optim)
    spec = toy.toy_parts(
        run_dir, objective=build, steps=steps, seed=seed, guard=GuardConfig(collapse="warn"),
        log=LogConfig(every_steps=1), optim=OptimConfig.model_validate(settings), save_every=1000,
    )  # fmt: skip

    def loader(*, rank: int, world_size: int, first_step: int, streams: object):
        del rank, world_size, streams
        for step in range(first_step, steps + 1):
            time.sleep(seconds_to_read)
            yield Batch(content=lit(content, seed + step), origin=Origin(first_sample=4 * step))

    object.__setattr__(spec, "build_loader", loader)
    pretrain(spec)
    return given(run_dir)


def follows(objective: Any) -> bool:
    """Whether the schedule `optim.ema` moves a teacher of it."""
    return any(pair.momentum is None for pair in objective.ema_pairs())


def lit(content: Content, step: int) -> Content:
    """The same content under another light."""
    generator = torch.Generator().manual_seed(step)

    def relit(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype != torch.uint8:
            return tensor
        noise = torch.randint(0, 64, tensor.shape, dtype=torch.uint8, generator=generator)
        return tensor // 4 * 3 + noise

    return content.map(relit)
