"""Does an attentive probe name characters, and better on a trained encoder than an untrained one?

    wmt pretrain demo
    python -m benchmarks.learning.attentive_probe --run runs/demo

Trains `recipes/probe_pen_strokes.yaml` on the encoder of a run and on the same encoder as it was
drawn, with some seeds each, and measures accuracy on drawers whom no probe saw. Baselines: chance,
and a linear map of pooled pixels.
"""

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.learning.as_drawn import as_drawn
from worldmodel_train.cli.objectives import trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.data.source_config import SourceConfig
from worldmodel_train.evaluation.probing.classification_scores import (
    NamedVideos,
    measure_accuracies,
)
from worldmodel_train.probes.attentive import AttentiveProbes
from worldmodel_train.probes.linear import linear_accuracy
from worldmodel_train.probes.pooled_features import pooled_pixels
from worldmodel_train.recipe import Recipe, load_recipe
from worldmodel_train.training.run import pretrain

MOST_CLIPS = 10_000
BATCH = 32


def main(
    run: Annotated[Path, typer.Option(help="A run of a V-JEPA recipe.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Probes of each encoder.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of a probe.")] = 200,
) -> None:
    """Print the accuracy on held-out drawers of each encoder."""
    with TemporaryDirectory() as folder:
        encoders = {"trained": run, "untrained": as_drawn(run, Path(folder) / "drawn")}
        accuracies = {
            name: [
                _accuracy(_probe_recipe(encoder, Path(folder) / f"{name}_{seed}", seed, steps))
                for seed in range(seeds)
            ]
            for name, encoder in encoders.items()
        }
    recipe = load_recipe("probe_pen_strokes")
    accuracies["pooled 8x8 pixels, linear"] = [_of_pixels(recipe)]
    accuracies["chance"] = [1 / len(recipe.data.classes or ())]
    Console().print(_table(accuracies, steps))


def _probe_recipe(encoder: Path, run_dir: Path, seed: int, steps: int) -> Recipe:
    warmup = min(20, steps)
    return load_recipe(
        "probe_pen_strokes",
        [
            f"method.encoder.checkpoint={encoder}", f"run_dir={run_dir}", f"train.seed={seed}",
            f"train.steps={steps}", f"optim.lr.warmup_steps={warmup}",
        ],
    )  # fmt: skip


def _accuracy(recipe: Recipe) -> float:
    """Trains the recipe; the share of held-out clips that the probe names rightly."""
    result = pretrain(pretrain_parts(recipe, "auto"))
    assert result.checkpoint is not None
    probe = trained_objective(result.checkpoint)
    assert isinstance(probe, AttentiveProbes)
    data = _videos(recipe)
    assert data.held_out is not None, "the recipe has held-out clips"
    videos = data.each_video(data.held_out)
    named = NamedVideos(probe, videos, num_crops=1, batch_size=BATCH)
    return measure_accuracies(named).probes[0].top1


def _of_pixels(recipe: Recipe) -> float:
    data = _videos(recipe)
    assert data.held_out is not None, "the recipe has held-out clips"
    train, test = _clips(data, data.sources[0]), _clips(data, data.held_out)
    assert train.class_numbers is not None
    assert test.class_numbers is not None
    return linear_accuracy(
        pooled_pixels(train.clips), train.class_numbers,
        pooled_pixels(test.clips), test.class_numbers,
    )  # fmt: skip


def _videos(recipe: Recipe) -> DataConfig:
    assert isinstance(recipe.data, DataConfig), "the recipe reads videos"
    return recipe.data


def _clips(data: DataConfig, source: SourceConfig) -> FixedClips:
    return data.clips_of(source, limit=MOST_CLIPS, clips_per_video=1)


def _table(accuracies: dict[str, list[float]], steps: int) -> Table:
    title = f"Accuracy on drawers never seen, probes of {steps} steps"
    table = Table("features", "mean", "spread", "probes", title=title, title_justify="left")
    for name, values in accuracies.items():
        spread = f"{statistics.stdev(values):.3f}" if len(values) > 1 else "-"
        table.add_row(name, f"{statistics.mean(values):.3f}", spread, str(len(values)))
    return table


if __name__ == "__main__":
    typer.run(main)
