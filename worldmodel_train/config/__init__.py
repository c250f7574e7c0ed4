"""Strict configuration: YAML in, frozen models out, errors with file and line."""

from worldmodel_train.config.base import StrictConfig
from worldmodel_train.config.errors import CombinationError, RecipeError

__all__ = ["CombinationError", "RecipeError", "StrictConfig"]
