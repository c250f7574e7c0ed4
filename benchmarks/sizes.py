"""The sizes that run where no recipe is named."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from worldmodel_train.recipe import Recipe, load_recipe

ON_CPU: Mapping[str, Sequence[str]] = {
    "tiny": (
        "method.encoder.size=vit_tiny",
        "method.predictor.width=96", "method.predictor.depth=4", "method.predictor.heads=3",
        "data.sources.0.clip.frames=8", "data.augment.size=112",
        "train.micro_batch=2", "train.global_batch=2", "train.precision=fp32",
    ),
    "small": (
        "method.predictor.width=192", "method.predictor.depth=6", "method.predictor.heads=6",
        "data.augment.size=128",
        "train.micro_batch=4", "train.global_batch=4", "train.precision=fp32",
    ),
}  # fmt: skip
"""Overrides of vjepa2_vits."""
ON_CUDA = "vjepa2_vitl"
"""A recipe as it is."""


def recipes_of(
    name: str, overrides: Sequence[str], device: torch.device
) -> Iterator[tuple[str, Recipe]]:
    """The named recipe, or the device's default sizes; each with a title."""
    if name or device.type == "cuda":
        recipe = load_recipe(name or ON_CUDA, overrides)
        yield _title(recipe.name, recipe), recipe
        return
    for size, changes in ON_CPU.items():
        recipe = load_recipe("vjepa2_vits", [*changes, *overrides])
        yield _title(size, recipe), recipe


def _title(name: str, recipe: Recipe) -> str:
    clip, train = recipe.facts.data.sources[0].clip, recipe.train
    pixels = f"{clip.height}" if clip.height == clip.width else f"{clip.height}x{clip.width}"
    return f"{name}, {clip.frames}f {pixels}px B{train.micro_batch}"
