"""Finds a world by its name, ours or any of gymnasium's, and opens it without a screen."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from gymnasium.envs.registration import EnvSpec

from worldmodel_train import envs
from worldmodel_train.collection.world import View, World
from worldmodel_train.envs.environments import WorldError, open_environment, says_what_draws

_OURS = "envs/"


def open_world(
    name: str, view: View | None = None, options: Mapping[str, Any] | None = None
) -> World:
    """The world of that name; `options` are what its maker takes.

    Raises:
        WorldError: There is none, or none that a policy can act in, or that can be seen so.
    """
    given, draws = dict(options or {}), view is not None and view.see == "pixels"
    if view is not None and draws and name.startswith(_OURS):
        given.setdefault("size", view.size)  # drawn at it, and not made smaller later
    world = World(open_environment(name, given, draws=draws, spec=_spec(name)), name, view)
    if draws:
        with says_what_draws(name):
            world.reset(0)
    return world


def module_of(name: str) -> Any | None:  # noqa: ANN401 - a module has what it has
    """The file of a world of ours; None for others."""
    if not name.startswith(_OURS):
        return None
    return importlib.import_module(f"{envs.__name__}.{name.removeprefix(_OURS)}")


def _spec(name: str) -> EnvSpec | None:
    """What makes a world of ours; None for others."""
    if not name.startswith(_OURS):
        return None
    names = sorted(_OURS + module.name for module in pkgutil.iter_modules(envs.__path__))
    spec = _spec_of(name) if name in names else None
    if spec is None:
        known = ", ".join(one for one in names if _spec_of(one) is not None)
        raise WorldError(
            f"{name} is none of {known}, and worlds of gymnasium have ids such as Pendulum-v1"
        )
    return spec


def _spec_of(name: str) -> EnvSpec | None:
    """That of a file of `envs/`; None where it holds a world that is only filmed."""
    return getattr(module_of(name), "SPEC", None)
