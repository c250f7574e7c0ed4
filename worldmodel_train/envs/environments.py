"""Opens an environment of gymnasium by its name, and has it draw itself without a screen."""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from importlib.util import find_spec
from typing import Any

import cv2
import gymnasium
from gymnasium.envs.registration import EnvSpec
from jaxtyping import UInt8
from numpy import ndarray

_PACKAGES = {
    "gym_pusht/": "gym_pusht",
    "MiniGrid-": "minigrid",
    "BabyAI-": "minigrid",
    "ALE/": "ale_py",
    "dm_control/": "shimmy",
}
"""What makes worlds known whose names begin so. These alone: the name may come from a stranger's
recipe, and importing is running."""


class WorldError(ValueError):
    """There is no such world, or none that can be used so; the message begins with its name."""


def open_environment(
    name: str, options: Mapping[str, Any], *, draws: bool, spec: EnvSpec | None = None
) -> gymnasium.Env[Any, Any]:
    """The environment of that name, or of `spec`; `options` are what its maker takes.

    Of a world of MuJoCo they may name geoms, `hide: [target]`, which are then not drawn.

    Raises:
        WorldError: There is none, or none with such options.
    """
    given = dict(options)
    hidden = given.pop("hide", ())
    if draws:
        _without_a_screen()
        given["render_mode"] = "rgb_array"
    if spec is None:
        _register(name)
    try:
        env = gymnasium.make(spec or name, **given)
    except (gymnasium.error.Error, ImportError, AttributeError) as error:
        # an AttributeError is all that PyOpenGL says of a library that MUJOCO_GL names in vain
        raise WorldError(f"{name}: {error}") from None
    except (TypeError, ValueError) as error:
        raise WorldError(f"{name} with options {given}: {error}") from None
    if hidden:
        _hide(env, hidden, name)
    return env


@contextmanager
def says_what_draws(name: str) -> Iterator[None]:
    """Drawing inside raises WorldError where this machine lacks what the world draws with."""
    of_mujoco = getattr(sys.modules.get("mujoco"), "FatalError", RuntimeError)
    try:
        yield
    except (
        gymnasium.error.Error,
        of_mujoco,
        *(ImportError, AttributeError, RuntimeError),
    ) as error:
        raise WorldError(
            f"{name} cannot be drawn here ({error}); see it as a vector, or install what it draws "
            "with (worlds of MuJoCo: libosmesa6 or libegl1, and MUJOCO_GL=osmesa or egl)"
        ) from None


def resized(picture: UInt8[ndarray, "_ _ c"], shape: tuple[int, ...]) -> UInt8[ndarray, "h w c"]:
    """A copy in that shape."""
    if picture.shape == shape:
        return picture.copy()
    height, width, _ = shape
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).reshape(shape)


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


def _hide(env: gymnasium.Env[Any, Any], geoms: Sequence[str], name: str) -> None:
    """Makes geoms of a model of MuJoCo transparent; all else of them stays."""
    model = getattr(env.unwrapped, "model", None)
    if model is None or not hasattr(model, "geom"):
        raise WorldError(f"{name} is no world of MuJoCo, whose geoms hide={geoms} names; omit it")
    if isinstance(geoms, str):
        raise WorldError(f"hide={geoms} is no list of geoms; write hide=[{geoms}]")
    for geom in geoms:
        try:
            model.geom(geom).rgba[3] = 0
        except KeyError as error:
            known = ", ".join(filter(None, (model.geom(n).name for n in range(model.ngeom))))
            raise WorldError(f"{name} has no geom hide={error}; it has {known}") from None
