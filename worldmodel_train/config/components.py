"""Components that a recipe names by the path of their file, such as `jepa/vjepa`.

A file is a component when it has a `Config`; there is no registry to edit.
"""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import create_model

from worldmodel_train.config.base import StrictConfig


def component_config(package: ModuleType, name: str) -> type[StrictConfig] | None:
    """The `Config` of the component, with its `name` as one more key; None where there is none.

    Only files that are there are imported: recipes come from strangers.
    """
    return _named_config(package, name) if name in _file_names(package) else None


def component_configs(
    package: ModuleType, *, prefix: str | None = None
) -> dict[str, type[StrictConfig]]:
    """All components of a package, by name: the file's after `prefix`, by default `<folder>/`."""
    configs = {name: _named_config(package, name) for name in _file_names(package, prefix)}
    return {name: config for name, config in configs.items() if config is not None}


def _file_names(package: ModuleType, prefix: str | None = None) -> list[str]:
    assert package.__file__ is not None
    files = Path(package.__file__).parent.glob("*.py")
    if prefix is None:
        prefix = package.__name__.rpartition(".")[2] + "/"
    return sorted(f"{prefix}{file.stem}" for file in files if not file.stem.startswith("_"))


@cache
def _named_config(package: ModuleType, name: str) -> type[StrictConfig] | None:
    module = importlib.import_module(f"{package.__name__}.{name.rpartition('/')[2]}")
    config: type[StrictConfig] | None = getattr(module, "Config", None)
    if config is None:
        return None
    fields: Any = {"name": (Literal[name], name)}
    return create_model(config.__name__, __base__=config, __doc__=config.__doc__, **fields)
