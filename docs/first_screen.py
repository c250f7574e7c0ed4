"""Draws the README's first picture from a run that was measured: `docs/first_screen.py RUN OUT`.

All of it is of the run's own report: masks and features from its pictures, the curve from
`metrics.jsonl`.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from worldmodel_train.cartography.tiling import GAP
from worldmodel_train.evaluation.curves import read_curves
from worldmodel_train.evaluation.tasks.latent_prediction import PICTURES

ROWS = ("video", "seen, and to predict", "features, trained", "features, untrained")


def main() -> None:
    """Read the arguments, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run directory with report.html")
    parser.add_argument("out", type=Path, help="the PNG to write")
    parser.add_argument("--clip", type=int, default=0, help="which of the report's clips")
    arguments = parser.parse_args()
    first_screen(arguments.run, arguments.clip).savefig(arguments.out, dpi=110)


def first_screen(run: Path, clip: int) -> Figure:
    """The figure: rows of frames on the left, the loss on the right."""
    video, trained, untrained = _rows(run / f"{PICTURES}/features_{clip:02d}.png", 3)
    masked = _row_of(run / f"{PICTURES}/masks_00.png", clip, len(video))
    figure = Figure(figsize=(9.0, 3.7), layout="constrained")
    pictures, curve = figure.subplots(1, 2, width_ratios=(4.6, 4))
    pictures.imshow(np.concatenate([video, masked, trained, untrained]))
    height = len(video)
    pictures.set_yticks([height * (row + 0.5) for row in range(len(ROWS))], ROWS, fontsize=8)
    pictures.set_xticks([])
    pictures.tick_params(length=0)
    pictures.spines[:].set_visible(False)
    _draw_loss(curve, run)
    return figure


def _rows(sheet: Path, count: int) -> list[np.ndarray]:
    """The rows of a sheet of tiles, each with the gap below it."""
    image = imread(sheet)[GAP:, :, :3]
    return np.split(image, count)


def _row_of(sheet: Path, row: int, height: int) -> np.ndarray:
    image = imread(sheet)[GAP:, :, :3]
    return image[row * height : (row + 1) * height]


def _draw_loss(axes, run: Path) -> None:  # noqa: ANN001 - matplotlib's axes have no stable type
    steps, losses = zip(*read_curves(run)["loss"], strict=True)
    axes.plot(steps, losses, color="#b3206f", lw=1.6)
    axes.set_title("loss, over optimizer steps", fontsize=9, loc="left")
    axes.grid(visible=True, alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


if __name__ == "__main__":
    main()
