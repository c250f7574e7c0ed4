"""The recipe: everything that defines a run, composed of the parts' own configurations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from worldmodel_train import agents, cartography, jepa, probes, renderers
from worldmodel_train.collection.config import CollectedConfig
from worldmodel_train.collection.films import FilmsConfig
from worldmodel_train.config import CombinationError, StrictConfig
from worldmodel_train.config.components import component_config, component_configs
from worldmodel_train.config.json_schema import editor_schema
from worldmodel_train.config.origins import Document, KeyPath, Origin
from worldmodel_train.config.read import read_model
from worldmodel_train.config.yaml_writer import write_yaml
from worldmodel_train.data.audio.config import AudioConfig
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.latents.config import LatentsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.evaluation import tasks
from worldmodel_train.evaluation.task import Offer, Task
from worldmodel_train.facts import Misfit, RecipeFacts
from worldmodel_train.models.token_fit import not_a_multiple
from worldmodel_train.recipe_document import (
    DEFAULT_KIND,
    named_method,
    read_document,
    read_stored_document,
    refuse_method,
    with_held_out,
    with_tasks,
)
from worldmodel_train.training.checkpoints.folder import CheckpointConfig
from worldmodel_train.training.config import LogConfig, TrainConfig
from worldmodel_train.training.guard import GuardConfig
from worldmodel_train.training.optim import OptimConfig

FAMILIES = (jepa, renderers, agents, probes, cartography)
"""Packages whose files with a `Config` are methods, `<family>/<file>` by name."""

MethodT = TypeVar("MethodT", bound=StrictConfig)


def _kind_of(data: object) -> object:
    """The name of a kind of data; recipes older than the second kind have none."""
    if isinstance(data, dict):
        return data.get("name", DEFAULT_KIND)
    return getattr(data, "name", DEFAULT_KIND)


AnyData = Annotated[
    Annotated[DataConfig, Tag(DEFAULT_KIND)]
    | Annotated[TrajectoriesConfig, Tag("data/trajectories")]
    | Annotated[CollectedConfig, Tag("data/collected")]
    | Annotated[FilmsConfig, Tag("data/films")]
    | Annotated[LatentsConfig, Tag("data/latents")]
    | Annotated[AudioConfig, Tag("data/audio")],
    Discriminator(_kind_of),
]

TASKS = component_configs(tasks, prefix="")
"""All tasks by name; they import what they measure with when they run."""

if TYPE_CHECKING:
    AnyTask = Task
else:
    AnyTask = Annotated[reduce(or_, TASKS.values()), Field(discriminator="name")]


class Recipe(StrictConfig, Generic[MethodT]):
    """A run: what is learned, from what, how, and for how long."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    """Name of the recipe, and by default of its run's directory."""
    source: Annotated[str, Field(min_length=1)]
    """Where the numbers come from: a paper, released code, or our own measurement."""
    method: MethodT
    """The objective; its `name` is the path of its module, such as `jepa/vjepa`."""
    data: AnyData
    """Where what is learned from comes from; its `name` is `data/videos` if it is left out."""
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
    evaluation: tuple[AnyTask, ...] | None = None
    """Tasks: what is measured after training; null for nothing."""
    run_dir: Annotated[str, Field(min_length=1)] = "runs/{name}"
    """Directory of the run; {name} and {seed} are filled in."""

    @property
    def run_path(self) -> Path:
        """The run's directory, with name and seed filled in."""
        text = self.run_dir.replace("{name}", self.name)
        return Path(text.replace("{seed}", str(self.train.seed)))

    @property
    def facts(self) -> RecipeFacts:
        """What the method may know of the rest."""
        return RecipeFacts(
            data=self.data.facts(),
            seed=self.train.seed,
            steps=self.train.steps,
            micro_batch=self.train.micro_batch,
            activation_checkpointing=self.train.activation_checkpointing,
        )

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
    return _read(read_document(str(name_or_path), overrides))


def load_stored_recipe(path: Path) -> Recipe:
    """A recipe that a run has stored, whatever version wrote it.

    Raises:
        RecipeError: It is none.
    """
    return _read(read_stored_document(path)).recipe


def load_stored_recipe_with(
    path: Path, tasks: Sequence[str], overrides: Iterable[str], *, held_out: Sequence[str] = ()
) -> Recipe:
    """The same with only these tasks, and overrides of theirs such as `pen_strokes.splits=1`.

    Where `held_out` names shards, these are measured on.

    Raises:
        ValueError: It is none, or has no use for such a task or such shards.
    """
    document = read_stored_document(path)
    if held_out:
        document = with_held_out(document, held_out)
    return _read(with_tasks(document, tasks, overrides)).recipe


def _read(document: Document) -> ReadRecipe:
    recipe = read_model(Recipe[_method_config(document)], document)
    return ReadRecipe(recipe=recipe, origins=document.origins)


def resolved_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out; reading it gives an equal recipe."""
    return write_yaml(resolved_values(recipe))


def resolved_values(recipe: Recipe) -> dict[str, Any]:
    """All values of the recipe as plain values, in the order that a file would have them."""
    values = recipe.model_dump(mode="json")
    values["method"] = _name_first(values["method"])
    values["evaluation"] = values["evaluation"] and [*map(_name_first, values["evaluation"])]
    return values


def _name_first(component: dict[str, Any]) -> dict[str, Any]:
    return {"name": component.pop("name"), **component}


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe file, for editors."""
    return editor_schema(recipe_of_any_method())


def recipe_of_any_method() -> type[BaseModel]:
    """A recipe whose method is any of those there are."""
    methods = reduce(or_, _methods().values())
    return Recipe[Annotated[methods, Field(discriminator="name")]]


def _methods() -> dict[str, type[StrictConfig]]:
    """All methods by name."""
    return {
        name: config for family in FAMILIES for name, config in component_configs(family).items()
    }


def _method_config(document: Document) -> type[StrictConfig]:
    """The `Config` of the method that the document names."""
    name = named_method(document)
    found = [component_config(family, name) for family in FAMILIES if name is not None]
    return next(filter(None, found), None) or refuse_method(document, _methods())


def _misfits(recipe: Recipe) -> Iterator[Misfit]:
    """Keys whose values are each fine but cannot be used together, and what to write instead."""
    kind, takes = recipe.facts.data.kind, getattr(recipe.method, "takes", "clips")
    if kind != takes:
        message = f"gives {kind}, but {recipe.method.name} takes {takes}; use "
        yield ("data", "name"), message + " or ".join(_kinds_that_give(takes))
        return
    if isinstance(recipe.data, CollectedConfig) and not getattr(recipe.method, "acts", False):
        message = f"acts by the method's policy, and {recipe.method.name} has none; "
        yield ("data", "name"), message + "use data/trajectories"
        return
    yield from recipe.method.misfits(recipe.facts)
    yield from _schedules_that_do_not_fit(recipe)
    yield from recipe.data.misfits(recipe.train.micro_batch)
    yield from _tasks_that_do_not_fit(recipe)
    if recipe.log.online_probe is not None:
        objective = objective_class(type(recipe.method))
        yield from recipe.log.online_probe.misfits(objective, recipe.facts)
    if recipe.log.image_every is not None and recipe.data.held_out is None:
        message = "needs clips to draw: give data.held_out, or write null here"
        yield ("log", "image_every"), message


def _kinds_that_give(what: str) -> list[str]:
    """The names of the kinds of data that give it."""
    kinds = [get_args(kind) for kind in get_args(get_args(AnyData)[0])]
    return [tag.tag for config, tag in kinds if config.gives == what]


def _schedules_that_do_not_fit(recipe: Recipe) -> Iterator[Misfit]:
    steps = recipe.train.steps
    for key in ("lr", "weight_decay", "ema"):
        schedule = getattr(recipe.optim, key)
        warmup, decay = (getattr(schedule, f"{part}_steps", 0) for part in ("warmup", "decay"))
        if warmup > steps:
            message = f"a warmup of {warmup} steps does not fit train.steps={steps}; use fewer"
            yield ("optim", key, "warmup_steps"), message
        elif warmup + decay > steps:
            message = f"after a warmup of {warmup} steps a decay of {decay} does not fit "
            message += f"train.steps={steps}; use at most {steps - warmup}"
            yield ("optim", key, "decay_steps"), message
    ema = {} if recipe.optim.ema is None else recipe.optim.ema.model_dump()
    for key in ("value", "start", "peak", "end"):
        if ema.get(key, 0) > 1:
            message = f"what follows keeps a share of itself, at most 1, not {ema[key]}"
            yield ("optim", "ema", key), message
    every, keep = recipe.checkpoint.every_steps, recipe.checkpoint.keep_every
    if keep is not None and keep % every:
        message = not_a_multiple(keep, every, "checkpoint.every_steps")
        yield ("checkpoint", "keep_every"), message


def _tasks_that_do_not_fit(recipe: Recipe) -> Iterator[Misfit]:
    tasks, method, held_out = recipe.evaluation or (), recipe.method, recipe.data.held_out
    if not tasks:
        return
    objective = objective_class(type(method))
    offer = Offer(objective=objective, preparation=method.preparation(), data=recipe.data)
    for index, task in enumerate(tasks):
        key = ("evaluation", index, "name")
        if task.name in [earlier.name for earlier in tasks[:index]]:
            yield key, f"{task.name} stands twice; leave one out"
        if task.needs_held_out and held_out is None:
            yield key, f"{task.name} measures on held-out data: give data.held_out, or leave it out"
        if issubclass(objective, task.needs):
            for message in task.misfits(offer):
                yield key, f"{task.name} {message}"
        else:
            message = f"{task.name} measures a {task.needs.__name__}, which {method.name} is not"
            yield key, f"{message}; leave it out"
    if held_out is not None and held_out.streams and any(task.needs_held_out for task in tasks):
        message = "is a stream, and tasks measure on shards of a file system; name such shards"
        yield ("data", "held_out", "shards"), message


def objective_class(method: Any) -> type:  # noqa: ANN401 - any Config with a `build`
    """What the `build` of a method's Config says that it returns: known before anything is."""
    return get_type_hints(method.build)["return"]
