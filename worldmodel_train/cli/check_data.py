"""Looks whether the data is there, before anything heavy is imported."""

from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.recipe import Recipe


def check_data(recipe: Recipe) -> None:
    """Raises ValueError where shards are missing."""
    held_out = [recipe.data.held_out] if recipe.data.held_out is not None else []
    for source in (*recipe.data.sources, *held_out):
        resolve_shards(source)
