"""Does a sparse autoencoder find directions that are known, and that principal components do not?

    python -m benchmarks.learning.sparse_autoencoder

Latents of 32 channels are sums of 3 of 96 directions, drawn anew in every step; the autoencoder may
have twice as many. What counts is the cosine of each true direction with the nearest found one,
averaged: for each activation, some seeds, beside principal components and the directions that the
autoencoder began with.

Batches are small and steps few, so the learning rate is higher, and the window of JumpReLU a
hundred times wider, than published.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from time import perf_counter
from typing import Annotated

import torch
import typer
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional

from worldmodel_train.cartography.activations import ActivationConfig, BatchTopK, JumpRelu, TopK
from worldmodel_train.cartography.sparse_autoencoder import Config, SparseAutoencoder
from worldmodel_train.evaluation.machine import describe_machine
from worldmodel_train.evaluation.shown import shown
from worldmodel_train.evaluation.task_result import Measured
from worldmodel_train.types import Latents

ACTIVATIONS = (TopK(), BatchTopK(), JumpRelu(bandwidth=0.1))
WIDTH, TRUE, ACTIVE = 32, 96, 3
RATE = 1e-2
BATCH, HELD_OUT = 512, 8192
_APART = 1000
"""Of seeds: under one seed the truth and the first directions would be the same numbers."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Directions, and latents that are made of them."""

    directions: Float[Tensor, "f d"]
    generator: torch.Generator

    @classmethod
    def drawn(cls, seed: int) -> "Truth":
        """Random directions of length 1."""
        generator = torch.Generator().manual_seed(seed)
        return cls(
            directions=functional.normalize(torch.randn(TRUE, WIDTH, generator=generator), dim=-1),
            generator=generator,
        )

    def latents(self, count: int) -> Float[Tensor, "{count} d"]:
        """New ones, each the sum of a few directions, each 0.5 to 1.5 long."""
        which = torch.rand(count, TRUE, generator=self.generator).topk(ACTIVE, dim=-1).indices
        lengths = 0.5 + torch.rand(count, ACTIVE, 1, generator=self.generator)
        return (self.directions[which] * lengths).sum(1)

    def nearest_cosine(self, found: Float[Tensor, "g d"]) -> float:
        """Of each direction with the nearest one found, on average; a sign does not matter."""
        cosines = self.directions @ functional.normalize(found, dim=-1).T
        return float(cosines.abs().amax(1).mean())


@dataclass(frozen=True, kw_only=True)
class Found:
    """What came of one autoencoder; shares and numbers are of latents it was not trained on."""

    cosine: float
    explained_variance: float
    active: float
    """Features of a latent."""
    seconds: float


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Truths, with an autoencoder each.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 500,
) -> None:
    """Print how near each comes to the truth."""
    Console().print(cosine_table(range(seeds), steps))
    Console().print(describe_machine(torch.device("cpu")), highlight=False)


def cosine_table(seeds: Sequence[int], steps: int) -> Table:
    """A row for each activation and each rival: mean and spread over the seeds."""
    title = f"{TRUE} directions in {WIDTH}, {ACTIVE} at a time; seeds {list(seeds)}, {steps} steps"
    columns = ("", "nearest cosine", "explained", "features", "s")
    table = Table(*columns, title=title, title_justify="left")
    for activation in ACTIVATIONS:
        found = [learn(activation, seed=seed, steps=steps) for seed in seeds]
        rows = zip(*(astuple(one) for one in found), strict=True)
        table.add_row(activation.name, *(_cell(row) for row in rows))
    rivals = {"principal components": principal_components, "as drawn": first_directions}
    for name, directions in rivals.items():
        cosines = [Truth.drawn(seed).nearest_cosine(directions(seed)) for seed in seeds]
        table.add_row(name, _cell(cosines))
    return table


def learn(activation: ActivationConfig, *, seed: int, steps: int) -> Found:
    """Trains one and measures it."""
    truth, model, begun = Truth.drawn(seed), _drawn(activation, seed), perf_counter()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(steps):
        losses = model.training_losses(Latents(tokens=truth.latents(BATCH)[None]))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        with torch.no_grad():
            model.after_step()
    seconds = perf_counter() - begun
    model.eval()
    with torch.no_grad():
        terms = model.training_losses(Latents(tokens=truth.latents(HELD_OUT)[None])).terms
    return Found(
        cosine=truth.nearest_cosine(model.directions.detach()),
        explained_variance=float(terms["explained_variance"]),
        active=float(terms["l0"]),
        seconds=seconds,
    )


def principal_components(seed: int) -> Float[Tensor, "d d"]:
    """All of them, of as many latents as the autoencoders are measured on."""
    fitted = PCA().fit(Truth.drawn(seed).latents(HELD_OUT).numpy())
    return torch.from_numpy(fitted.components_).float()


def first_directions(seed: int) -> Float[Tensor, "f d"]:
    """Those that each autoencoder begins with."""
    return _drawn(TopK(), seed).directions.detach()


def _drawn(activation: ActivationConfig, seed: int) -> SparseAutoencoder:
    torch.manual_seed(_APART + seed)
    config = Config(
        width=WIDTH, features=2 * TRUE, active=ACTIVE, dead_after=40 * BATCH, activation=activation
    )
    return config.build()


def _cell(values: Sequence[float]) -> str:
    return shown(Measured(values=tuple(values)))


if __name__ == "__main__":
    typer.run(main)
