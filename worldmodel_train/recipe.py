"""The recipe: everything that defines a run, composed of the parts' own configurations."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field, model_validator

import worldmodel_train
from worldmodel_train import jepa
from worldmodel_train.config import CombinationError, RecipeError, StrictConfig
from worldmodel_train.config.components import component_config, component_configs
from worldmodel_train.config.explain import locate
from worldmodel_train.config.extends import find_recipe, names, read_with_parents
from worldmodel_train.config.json_schema import editor_schema
from worldmodel_train.config.origins import Document, KeyPath, Origin
from worldmodel_train.config.overrides import apply_overrides
from worldmodel_train.config.read import read_model
from worldmodel_train.config.suggest import did_you_mean
from worldmodel_train.config.yaml_writer import write_yaml
from worldmodel_train.data.config import DataConfig, SourceConfig
from worldmodel_train.evaluation.config import EvaluationConfig
from worldmodel_train.masks import MaskConfig
from worldmodel_train.training.checkpoints.folder import CheckpointConfig
from worldmodel_train.training.config import LogConfig, TrainConfig
from worldmodel_train.training.guard import GuardConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.types import TokenGrid

MAX_TOKENS = 2**20
"""Tokens of a clip past which a recipe is a slip of the pen."""

MethodT = TypeVar("MethodT", bound=StrictConfig)


class Recipe(StrictConfig, Generic[MethodT]):
    """A run: what is learned, from what, how, and for how long."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    """Name of the recipe, and by default of its run's directory."""
    source: Annotated[str, Field(min_length=1)]
    """Where the numbers come from: a paper, released code, or our own measurement."""
    method: MethodT
    """The objective; its `name` is the path of its module, such as `jepa/vjepa`."""
    masks: tuple[MaskConfig, ...] = Field(min_length=1)
    """Mask groups; every clip is masked once by each."""
    data: DataConfig
    """Where clips come from."""
    optim: OptimConfig
    """The optimizer and its schedules."""
    train: TrainConfig
    """Length, batch and hardware of the run."""
    checkpoint: CheckpointConfig
    """When to save, and what to keep."""
    log: LogConfig = LogConfig()
    """How often the run reports."""
    guard: GuardConfig = GuardConfig()
    """What counts as a broken run."""
    evaluation: EvaluationConfig | None = None
    """What is measured after training; null for nothing."""
    run_dir: Annotated[str, Field(min_length=1)] = "runs/{name}"
    """Directory of the run; {name} and {seed} are filled in."""

    @property
    def run_path(self) -> Path:
        """The run's directory, with name and seed filled in."""
        text = self.run_dir.replace("{name}", self.name)
        return Path(text.replace("{seed}", str(self.train.seed)))

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "Recipe[MethodT]":
        problems = list(_misfits(self))
        if problems:
            raise CombinationError(problems)
        return self


@dataclass(frozen=True, kw_only=True)
class ReadRecipe:
    """A recipe, and where each value that is not a default was written."""

    recipe: Recipe
    origins: Mapping[KeyPath, Origin]


def load_recipe(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe of that name, or in that file, with overrides such as `train.steps=100`.

    Raises:
        RecipeError: one line for every problem, naming file and line, key, value and remedy.
    """
    return read_recipe(name_or_path, overrides).recipe


def read_recipe(name_or_path: str | Path, overrides: Iterable[str] = ()) -> ReadRecipe:
    """The same as `load_recipe`, with the origin of each value."""
    folders = recipe_folders()
    document = read_with_parents(find_recipe(str(name_or_path), folders), folders)
    document = apply_overrides(document, overrides)
    recipe = read_model(Recipe[_method_config(document)], document)
    return ReadRecipe(recipe=recipe, origins=document.origins)


def resolved_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out; reading it gives an equal recipe."""
    return write_yaml(resolved_values(recipe))


def resolved_values(recipe: Recipe) -> dict[str, Any]:
    """All values of the recipe as plain values, in the order that a file would have them."""
    values = recipe.model_dump(mode="json")
    values["method"] = {"name": values["method"].pop("name"), **values["method"]}
    return values


def recipe_folders() -> list[Path]:
    """Where recipes are looked for by name: here, in the package, in the checkout."""
    package = Path(worldmodel_train.__file__).parent
    checkout = package.parent
    folders = [Path.cwd() / "recipes", package / "recipes"]
    if (checkout / "pyproject.toml").is_file():
        folders.append(checkout / "recipes")
    return [folder for folder in folders if folder.is_dir()]


def recipe_names() -> list[str]:
    """The names of all recipes that can be found."""
    return names(recipe_folders())


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe file, for editors."""
    methods = reduce(or_, component_configs(jepa).values())
    return editor_schema(Recipe[Annotated[methods, Field(discriminator="name")]])


def _method_config(document: Document) -> type[StrictConfig]:
    """The `Config` of the method that the document names."""
    method = document.values.get("method")
    if not isinstance(method, dict) or "name" not in method:
        known = ", ".join(component_configs(jepa))
        message = f"missing; name the method to train by, one of: {known}"
        raise RecipeError([locate(document, ("method", "name"), message)])
    name = str(method["name"])
    config = component_config(jepa, name)
    if config is None:
        message = f'"{name}" is no method; {did_you_mean(name, component_configs(jepa))}'
        raise RecipeError([locate(document, ("method", "name"), message)])
    return config


def _misfits(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Keys whose values are each fine but cannot be used together, and what to write instead."""
    yield from _clips_that_are_not_whole_tokens(recipe)
    yield from _schedules_that_do_not_fit(recipe)
    yield from _parts_that_miss_each_other(recipe)


def _sources(recipe: Recipe) -> Iterator[tuple[KeyPath, SourceConfig]]:
    for index, source in enumerate(recipe.data.sources):
        yield ("data", "sources", index), source
    if recipe.data.held_out is not None:
        yield ("data", "held_out"), recipe.data.held_out


def _clips_that_are_not_whole_tokens(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    patch, tubelet = recipe.method.encoder.patch, recipe.method.encoder.tubelet
    size = recipe.data.augment.size
    if size % patch:
        yield ("data", "augment", "size"), _not_a_multiple(size, patch, "method.encoder.patch")
        return
    grids: dict[TokenGrid, None] = {}
    for path, source in _sources(recipe):
        frames = source.clip.frames
        if frames % tubelet:
            message = _not_a_multiple(frames, tubelet, "method.encoder.tubelet")
            yield (*path, "clip", "frames"), message
            continue
        grid = TokenGrid(frames // tubelet, size // patch, size // patch)
        if grid.num_tokens > MAX_TOKENS:
            message = f"{_shape(grid)} are more than any model can attend to; "
            yield (*path, "clip", "frames"), message + "use shorter or smaller clips"
        else:
            grids[grid] = None
    yield from _positions_without_time(recipe, list(grids))
    yield from _masks_that_leave_nothing(recipe, list(grids))


def _not_a_multiple(value: int, step: int, key: str) -> str:
    below = value - value % step
    nearest = f"{below} or {below + step}" if below else str(step)
    return f"{value} is not a multiple of {key}={step}; use {nearest}"


def _shape(grid: TokenGrid) -> str:
    return f"{grid.frames}x{grid.height}x{grid.width} tokens"


def _positions_without_time(
    recipe: Recipe, grids: Iterable[TokenGrid]
) -> Iterator[tuple[KeyPath, str]]:
    name = recipe.method.encoder.position.name
    if name == "sincos2d" and any(grid.frames > 1 for grid in grids):
        message = f"{name} has no place for time; use rope3d or sincos3d for videos"
        yield ("method", "encoder", "position"), message


def _masks_that_leave_nothing(
    recipe: Recipe, grids: Iterable[TokenGrid]
) -> Iterator[tuple[KeyPath, str]]:
    """Draw a few masks: samplers refuse what can never work; empty sets teach nothing."""
    samples = range(min(recipe.train.micro_batch, 8))
    for index, sampler in enumerate(recipe.masks):
        for grid in grids:
            try:
                drawn = [
                    sampler.sample(grid, seed=recipe.train.seed, step=step, samples=samples)
                    for step in range(4)
                ]
            except ValueError as error:
                yield ("masks", index), str(error)
                break
            if any(0 in (*m.context_index.shape, *m.target_index.shape) for m in drawn):
                message = (
                    f"leaves no context or no target of {_shape(grid)}; use another size of blocks"
                )
                yield ("masks", index), message
                break


def _schedules_that_do_not_fit(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    steps = recipe.train.steps
    for key in ("lr", "weight_decay", "ema"):
        warmup = getattr(getattr(recipe.optim, key), "warmup_steps", 0)
        if warmup > steps:
            message = f"a warmup of {warmup} steps does not fit train.steps={steps}; use fewer"
            yield ("optim", key, "warmup_steps"), message
    ema = {} if recipe.optim.ema is None else recipe.optim.ema.model_dump()
    for key in ("value", "start", "peak", "end"):
        if ema.get(key, 0) > 1:
            message = f"the target encoder keeps a share of itself, at most 1, not {ema[key]}"
            yield ("optim", "ema", key), message
    every, keep = recipe.checkpoint.every_steps, recipe.checkpoint.keep_every
    if keep is not None and keep % every:
        message = _not_a_multiple(keep, every, "checkpoint.every_steps")
        yield ("checkpoint", "keep_every"), message


def _parts_that_miss_each_other(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    available, groups = recipe.method.predictor.mask_tokens, len(recipe.masks)
    if available < groups and recipe.method.mask_token == "per_group":
        message = f"{available} mask tokens cannot serve {groups} mask groups; use {groups}"
        yield ("method", "predictor", "mask_tokens"), message
    lengths = len({source.clip.frames for source in recipe.data.sources})
    if 1 < available < lengths and recipe.method.mask_token == "shared":
        message = f"{available} mask tokens cannot serve {lengths} clip lengths; use {lengths} or 1"
        yield ("method", "predictor", "mask_tokens"), message
    clips, micro_batch = recipe.data.loader.clips_per_video, recipe.train.micro_batch
    if micro_batch % clips:
        fewer = max(n for n in range(1, clips) if micro_batch % n == 0)
        message = (
            f"{clips} clips of each video do not fill train.micro_batch={micro_batch}; "
            f"use {fewer}, or train.micro_batch={-(-micro_batch // clips) * clips}"
        )
        yield ("data", "loader", "clips_per_video"), message
    if recipe.data.held_out is not None:
        return
    if recipe.evaluation is not None:
        yield ("evaluation",), "needs clips to measure on: give data.held_out, or write null here"
    if recipe.log.image_every is not None:
        message = "needs clips to draw: give data.held_out, or write null here"
        yield ("log", "image_every"), message
