"""Looks whether the data is there, before anything heavy is imported."""

from worldmodel_train.recipe import Recipe


def check_data(recipe: Recipe) -> None:
    """Raises ValueError where shards are missing."""
    recipe.data.check()
