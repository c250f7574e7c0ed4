"""Does a decoder show more of frozen latents than a mean picture and a linear map do?

    wmt pretrain demo
    python -m benchmarks.learning.latent_decoder --run runs/demo

Trains `recipes/decoder_demo.yaml` on the latents of a run, with the L1 distance of pixels alone and
with that of early features beside it, and on those of the same model as it was drawn. The task
`decoded_prediction` measures each: PSNR in dB and SSIM on held-out clips, beside the mean picture
of the training clips and a ridge regression from each model's own latents to pixels.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.learning.as_drawn import as_drawn
from worldmodel_train.cli.measure import last_of, measure_checkpoint
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.evaluation.machine import describe_machine
from worldmodel_train.evaluation.shown import shown
from worldmodel_train.evaluation.task_result import Measured, Number
from worldmodel_train.recipe import Recipe, load_recipe
from worldmodel_train.training.run import pretrain

PERCEPTUAL = 0.5
"""Weight with which both distances are about as large."""


def main(
    run: Annotated[Path, typer.Option(help="A run of a V-JEPA recipe.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Decoders of each model.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of a decoder.")] = 500,
) -> None:
    """Print PSNR and SSIM of each model's decoders and of their rivals."""
    overrides = [f"train.steps={steps}", f"optim.lr.warmup_steps={min(40, steps)}"]
    with TemporaryDirectory() as folder:
        found = learn(run, Path(folder), range(seeds), overrides)
    for model, numbers in found.items():
        title = f"{model}; seeds {list(range(seeds))}, {steps} steps"
        Console().print(score_table(title, numbers))
    Console().print(describe_machine(torch.device("cpu")), highlight=False)


def learn(
    run: Path, folder: Path, seeds: Sequence[int], overrides: Sequence[str] = ()
) -> dict[str, list[Sequence[Number]]]:
    """What the task measures of the decoders of each model, one for each seed."""
    drawn = as_drawn(run, folder / "drawn")
    models = {"trained": (run, 0.0), "perceptual": (run, PERCEPTUAL), "untrained": (drawn, 0.0)}
    return {
        name: [
            _numbers(
                load_recipe(
                    "decoder_demo",
                    [
                        f"method.jepa.checkpoint={model}", f"method.perceptual.weight={weight}",
                        f"train.seed={seed}", f"run_dir={folder / f'{name}_{seed}'}", *overrides,
                    ],
                )
            )
            for seed in seeds
        ]
        for name, (model, weight) in models.items()
    }  # fmt: skip


def score_table(title: str, of_seeds: Sequence[Sequence[Number]]) -> Table:
    """A row for each contender, a column for each number: mean and spread over the seeds."""
    columns = [[numbers[place] for numbers in of_seeds] for place in range(len(of_seeds[0]))]
    names = dict.fromkeys(name for (first, *_) in columns for name in first.contenders)
    table = Table("", title=title, title_justify="left")
    for first, *_ in columns:
        table.add_column(first.name, justify="right")
    for name in names:
        table.add_row(name, *(_cell(name, column) for column in columns))
    return table


def _cell(name: str, column: Sequence[Number]) -> str:
    values = [one.contenders[name].mean for one in column if name in one.contenders]
    return shown(Measured(values=tuple(values))) if values else "-"


def _numbers(recipe: Recipe) -> Sequence[Number]:
    """Trains the recipe and measures it."""
    pretrain(pretrain_parts(recipe, "auto"))
    last = last_of(recipe, recipe.run_path)
    result = measure_checkpoint(recipe, recipe.evaluation or (), last, None)
    assert result is not None, "this is the only rank"
    (measured,) = result.measurements
    return measured.result.numbers


if __name__ == "__main__":
    typer.run(main)
