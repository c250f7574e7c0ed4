"""How well a run of renderers/video_diffusion denoises held-out clips, by noise level.

    wmt pretrain video_diffusion_tiny && python -m benchmarks.learning.video_diffusion

Errors are mean squares of the estimated clean clip, pixels from -1 to 1, over all held-out clips
and some draws of noise. Against the trained network (the EMA of its weights) stand four that are
cheap: zero; the best affine estimate of each pixel by itself; the best affine estimate of each
tubelet by itself, both fitted on clips of the training videos; and the network before training.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from worldmodel_train.cli.objectives import trained_objective, untrained_objective
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.source_config import SourceConfig
from worldmodel_train.evaluation.machine import describe_machine
from worldmodel_train.recipe import load_stored_recipe
from worldmodel_train.renderers.rectified_flow import noised
from worldmodel_train.renderers.video_diffusion import VideoDiffusion
from worldmodel_train.training.checkpoints.files import RECIPE
from worldmodel_train.training.checkpoints.folder import CheckpointFolder

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
CLIPS_PER_VIDEO = 4

Denoise = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/video_diffusion_tiny"))
    parser.add_argument("--draws", type=int, default=3, help="draws of noise")
    arguments = parser.parse_args()
    recipe = load_stored_recipe(arguments.run / RECIPE)
    checkpoint = CheckpointFolder(arguments.run).last()
    if checkpoint is None:
        raise SystemExit(f"{arguments.run} has no checkpoint; run `wmt pretrain {recipe.name}`")
    trained, untrained = (
        _diffusion(one) for one in (trained_objective(checkpoint), untrained_objective(recipe))
    )
    data = recipe.data
    if not isinstance(data, DataConfig) or data.held_out is None:
        raise SystemExit(f"{arguments.run} held no clips out; give its recipe data.held_out")
    seen, unseen = (_tubelets(trained, data, s) for s in (data.sources[0], data.held_out))
    denoisers = {
        "zero": lambda point, level: torch.zeros_like(point),
        "pixel by pixel": PixelGaussian.of(seen),
        "by tubelet": TubeletGaussian.of(seen),
        "untrained": untrained.ema_denoiser,
        "trained": trained.ema_denoiser,
    }
    title = f"{checkpoint.name}, seed {recipe.train.seed}: {len(unseen)} held-out clips"
    Console().print(_table(title, errors(denoisers, unseen, draws=arguments.draws)))
    Console().print(describe_machine(torch.device("cpu")), highlight=False)


@dataclass(frozen=True)
class PixelGaussian:
    """The best affine estimate of a pixel from its noised value, by its place in the clip."""

    mean: Float[Tensor, "t h w p"]
    variance: Float[Tensor, "t h w p"]

    @classmethod
    def of(cls, clean: Float[Tensor, "b t h w p"]) -> "PixelGaussian":
        """Fitted on clips."""
        return cls(clean.mean(dim=0), clean.var(dim=0))

    def __call__(
        self, point: Float[Tensor, "b t h w p"], level: Float[Tensor, " b"]
    ) -> Float[Tensor, "b t h w p"]:
        """The estimates."""
        s = level.view(-1, 1, 1, 1, 1)
        gain = (1 - s) * self.variance / ((1 - s) ** 2 * self.variance + s**2)
        return self.mean + gain * (point - (1 - s) * self.mean)


@dataclass(frozen=True)
class TubeletGaussian:
    """The best affine estimate of a tubelet from its noised pixels, the same at all places."""

    mean: Float[Tensor, " p"]
    variances: Float[Tensor, " p"]
    """Along the axes."""
    axes: Float[Tensor, "p p"]
    """Principal axes, in columns."""

    @classmethod
    def of(cls, clean: Float[Tensor, "b t h w p"]) -> "TubeletGaussian":
        """Fitted on all tubelets of clips."""
        tubelets = rearrange(clean, "b t h w p -> (b t h w) p").double()
        variances, axes = torch.linalg.eigh(tubelets.T.cov())
        return cls(tubelets.mean(dim=0).float(), variances.clamp_min(0).float(), axes.float())

    def __call__(
        self, point: Float[Tensor, "b t h w p"], level: Float[Tensor, " b"]
    ) -> Float[Tensor, "b t h w p"]:
        """The estimates."""
        s = level.view(-1, 1, 1, 1, 1)
        gain = (1 - s) * self.variances / ((1 - s) ** 2 * self.variances + s**2)
        return self.mean + (gain * ((point - (1 - s) * self.mean) @ self.axes)) @ self.axes.T


@torch.no_grad()
def errors(
    denoisers: Mapping[str, Denoise], clean: Float[Tensor, "b t h w p"], *, draws: int
) -> dict[str, dict[float, Float[Tensor, " {draws}"]]]:
    """The error of each denoiser at each level in each draw of noise, the same for all."""
    return {
        name: {level: _errors(denoise, clean, level, draws) for level in LEVELS}
        for name, denoise in denoisers.items()
    }


def _errors(denoise: Denoise, clean: Tensor, level: float, draws: int) -> Tensor:
    at = torch.full((len(clean),), level)
    found = []
    for seed in range(draws):
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
        found.append((denoise(noised(clean, noise, at), at) - clean).square().mean())
    return torch.stack(found)


def _diffusion(objective: object) -> VideoDiffusion:
    if not isinstance(objective, VideoDiffusion):
        kind = type(objective).__name__
        raise SystemExit(f"a run of {kind}; name one of renderers/video_diffusion")
    return objective.eval()


def _tubelets(objective: VideoDiffusion, data: DataConfig, source: SourceConfig) -> Tensor:
    clips = data.clips_of(source, limit=1000, clips_per_video=CLIPS_PER_VIDEO)
    return objective.tubelets(clips.clips)


def _table(title: str, found: Mapping[str, Mapping[float, Tensor]]) -> Table:
    spread = max(float(e.std()) for of_levels in found.values() for e in of_levels.values())
    caption = f"standard deviation over draws of noise: at most {spread:.4f}"
    table = Table("level", *found, title=title, title_justify="left", caption=caption)
    for level in LEVELS:
        means = (float(of_levels[level].mean()) for of_levels in found.values())
        table.add_row(f"{level:g}", *(f"{mean:.4f}" for mean in means))
    return table


if __name__ == "__main__":
    main()
