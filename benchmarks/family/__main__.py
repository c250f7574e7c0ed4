"""`python -m benchmarks.family`: trains every recipe `*_films`, and writes docs/family.md of them.

All see the same films in the same order with the same encoder, and as many of them; what differs is
what is asked of the encoder. A run that is there already is not trained again.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.family.page import write_page
from benchmarks.family.scores import FamilyRun, read_runs
from benchmarks.family.trained import family, train
from worldmodel_train.evaluation.machine import describe_machine


def main(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As of `wmt pretrain`.")
    ] = None,
    *,
    recipes: Annotated[
        list[str] | None, typer.Option("--only", help="A recipe; repeatable. By default all.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each recipe, with seeds from 0 on.")] = 1,
    runs: Annotated[Path, typer.Option(help="Where runs go.")] = Path("runs/family"),
    page: Annotated[Path, typer.Option(help="The page that is written.")] = Path("docs/family.md"),
) -> None:
    """Train the family on the same films and compare it."""
    trained: list[FamilyRun] = []
    for recipe in recipes or family():
        for seed in range(seeds):
            trained.append(train(recipe, seed, runs, overrides or ()))
            write_page(read_runs(trained), page, machine=describe_machine(torch.device("cpu")))


if __name__ == "__main__":
    typer.run(main)
