"""Short runs of any method on clips whose light changes, and the alarms they give."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.contracts.methods import content_for
from tests.training import toy_run as toy
from worldmodel_train.batch import Batch, Origin
from worldmodel_train.training.config import LogConfig
from worldmodel_train.training.guard import GuardConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Content

Contents = Callable[[int], Content]


def rate(peak: float) -> dict[str, Any]:
    """A constant learning rate after a short warm-up."""
    return {"lr": {"name": "warmup_constant", "start": 1e-4, "peak": peak, "warmup_steps": 5}}


HEALTHY = rate(1e-3) | {"ema": {"name": "linear", "start": 0.99, "end": 1.0}}


def alarms_of(
    run_dir: Path,
    build: Callable[[], Any],
    contents: Contents,
    optim: Mapping[str, Any],
    steps: int = 40,
) -> set[str]:
    """The names of the alarms that a run gives; `optim` replaces settings of the toy's."""
    follows = any(pair.momentum is None for pair in build().ema_pairs())
    settings = toy.OPTIM | dict(optim) | ({} if follows else {"ema": None})
    spec = toy.toy_parts(
        run_dir, objective=build, steps=steps, guard=GuardConfig(collapse="warn"),
        log=LogConfig(every_steps=1), optim=OptimConfig.model_validate(settings), save_every=1000,
    )  # fmt: skip

    def loader(**_place: object) -> Iterator[Batch[Content]]:
        for step in range(steps + 1):
            yield Batch(content=contents(step), origin=Origin(first_sample=4 * step))

    object.__setattr__(spec, "build_loader", loader)
    pretrain(spec)
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return {name for line in lines for name in json.loads(line).get("alarms", {})}


def lit(config: Any, seed: int = 0) -> Contents:
    """What the method learns from, under another light in each step."""
    content = content_for(config, config.build())

    def contents(step: int) -> Content:
        generator = torch.Generator().manual_seed(seed + step)

        def relit(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.dtype != torch.uint8:
                return tensor
            noise = torch.randint(0, 64, tensor.shape, dtype=torch.uint8, generator=generator)
            return tensor // 4 * 3 + noise

        return content.map(relit)

    return contents


class NoPredictor(nn.Module):
    """In a predictor's place: the mean of what is seen, for every token that is hidden."""

    mask_tokens = (0, 1)

    def forward(self, contexts, masks, _grid, _tokens):
        return [
            context.mean(dim=1)[:, None, None].expand(-1, *mask.target_index.shape[1:], -1)
            for context, mask in zip(contexts, masks, strict=True)
        ]
