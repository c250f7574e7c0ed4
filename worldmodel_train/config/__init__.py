"""Strict configuration: YAML in, frozen models out, errors with file and line."""

from worldmodel_train.config.base import StrictConfig

__all__ = ["StrictConfig"]
