"""Small networks that learn what memory holds: each batch is drawn from all of it."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from worldmodel_train.config import StrictConfig


class Regression(StrictConfig):
    """How long and how fast."""

    steps: int = Field(default=2000, gt=0)
    """Of AdamW."""
    batch: int = Field(default=256, gt=0)
    rate: PositiveFloat = 1e-3
    """At the start; it falls to 0 in a straight line."""
    loss: Literal["l1", "l2"] = "l2"


def regress(
    network: nn.Module,
    inputs: Sequence[Float[Tensor, "n _"] | Int64[Tensor, "n"]],
    targets: Float[Tensor, "n *_"],
    config: Regression,
    generator: torch.Generator,
) -> float:
    """Trains `network(*inputs)` towards the targets; the mean loss of the last tenth of the steps.

    Raises:
        ValueError: There is nothing to learn from.
    """
    if not len(targets):
        raise ValueError("there is nothing to learn from; act, or ask for advice, before")
    optimizer = torch.optim.AdamW(network.parameters(), config.rate, weight_decay=1e-4)
    measure, losses = {"l1": l1_loss, "l2": mse_loss}[config.loss], []
    for step in range(config.steps):
        optimizer.param_groups[0]["lr"] = config.rate * (1 - step / config.steps)
        rows = torch.randint(len(targets), (config.batch,), generator=generator).to(targets.device)
        loss = measure(network(*(each[rows] for each in inputs)), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses[-max(config.steps // 10, 1) :]).mean())
