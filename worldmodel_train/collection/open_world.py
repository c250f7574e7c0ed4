"""Finds a world by its name, ours or any of gymnasium's, and opens it without a screen."""

import importlib
import os
import pkgutil
import sys
from collections.abc import Mapping
from ctypes.util import find_library
from importlib.util import find_spec
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from worldmodel_train import envs
from worldmodel_train.collection.world import View, World, WorldError

_OURS = "envs/"
_PACKAGES = {
    "gym_pusht/": "gym_pusht",
    "MiniGrid-": "minigrid",
    "BabyAI-": "minigrid",
    "ALE/": "ale_py",
    "dm_control/": "shimmy",
}
"""What makes worlds known whose names begin so. These alone: the name may come from a stranger's
recipe, and importing is running."""


def open_world(
    name: str, view: View | None = None, options: Mapping[str, Any] | None = None
) -> World:
    """The world of that name; `options` are what its maker takes.

    Raises:
        WorldError: There is none, or none that a policy can act in, or that can be seen so.
    """
    spec, given = _spec(name), dict(options or {})
    if view is not None and view.see == "pixels":
        _without_a_screen()
        given["render_mode"] = "rgb_array"
        if name.startswith(_OURS):
            given.setdefault("size", view.size)  # drawn at it, and not made smaller later
    try:
        env = gymnasium.make(spec, **given)
    except (gymnasium.error.Error, ImportError, AttributeError) as error:
        # an AttributeError is all that PyOpenGL says of a library that MUJOCO_GL names in vain
        raise WorldError(f"{name}: {error}") from None
    except (TypeError, ValueError) as error:
        raise WorldError(f"{name} with options {given}: {error}") from None
    world = World(env, name, view)
    if view is not None and view.see == "pixels":
        _require_pictures(world, name)
    return world


def module_of(name: str) -> Any | None:  # noqa: ANN401 - a module has what it has
    """The file of a world of ours; None for others."""
    if not name.startswith(_OURS):
        return None
    return importlib.import_module(f"{envs.__name__}.{name.removeprefix(_OURS)}")


def _spec(name: str) -> EnvSpec | str:
    if not name.startswith(_OURS):
        _register(name)
        return name
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


def _register(name: str) -> None:
    """Imports the package that makes a world known to gymnasium, where it is installed."""
    for prefix, package in _PACKAGES.items():
        if name.startswith(prefix) and find_spec(package) is not None:
            os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
            importlib.import_module(package)


def _without_a_screen() -> None:
    """Has this process draw in memory, unless its user has said where."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    drawers = (name for name in ("OSMesa", "EGL") if find_library(name) is not None)
    if drawer := next(drawers, None):  # where there is none, MuJoCo still computes
        os.environ.setdefault("MUJOCO_GL", drawer.lower())


def _require_pictures(world: World, name: str) -> None:
    """Raises WorldError where the world cannot draw itself on this machine."""
    of_mujoco = getattr(sys.modules.get("mujoco"), "FatalError", RuntimeError)
    try:
        world.reset(0)
    except (
        gymnasium.error.Error,
        of_mujoco,
        *(ImportError, AttributeError, RuntimeError),
    ) as error:
        raise WorldError(
            f"{name} cannot be drawn here ({error}); see it as a vector, or install what it draws "
            "with (worlds of MuJoCo: libosmesa6 or libegl1, and MUJOCO_GL=osmesa or egl)"
        ) from None
