"""The document of a recipe, before it is checked: found, merged over its parents, overridden.

Nothing here imports torch.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import worldmodel_train
from worldmodel_train.config.errors import RecipeError
from worldmodel_train.config.explain import locate
from worldmodel_train.config.extends import find_recipe, names, read_with_parents
from worldmodel_train.config.origins import Document, KeyPath, Origin, Override, Value, dotted
from worldmodel_train.config.overrides import apply_overrides
from worldmodel_train.config.suggest import did_you_mean
from worldmodel_train.config.yaml_reader import read_yaml
from worldmodel_train.config.yaml_writer import write_value

DEFAULT_KIND = "data/videos"
"""The kind of data where a recipe names none."""

_MOVED: Mapping[KeyPath, KeyPath] = {("masks",): ("method", "masks")}
"""Keys of older recipes, and where they are now."""


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


def read_document(name_or_path: str, overrides: Iterable[str] = ()) -> Document:
    """What the recipe of that name, or in that file, says, with overrides set.

    Raises:
        RecipeError: There is none, it is no plain YAML, or it has a key that has moved.
    """
    folders = recipe_folders()
    document = read_with_parents(find_recipe(name_or_path, folders), folders)
    document = apply_overrides(document, overrides)
    _refuse_older_forms(document)
    return document


def read_stored_document(path: Path) -> Document:
    """What a run has stored, with the keys of older versions where they are now."""
    document = read_yaml(path)
    values: dict[str, Any] = copy.deepcopy(document.values)
    for old, new in _MOVED.items():
        if _has(values, old):
            _put(values, new, _take(values, old))
    if isinstance(values.get("evaluation"), dict):
        values["evaluation"] = _tasks_of(values["evaluation"])
    return replace(document, values=values)


def with_tasks(document: Document, names: Sequence[str], overrides: Iterable[str]) -> Document:
    """The document with only these tasks under `evaluation`, or with all it has for no names.

    A task that it has keeps its settings. Overrides such as `pen_strokes.splits=1` set some anew.

    Raises:
        RecipeError: An override is of none of these tasks.
    """
    values, origins = dict(document.values), dict[KeyPath, Origin](document.origins)
    if names:
        written = values.get("evaluation")
        has = {
            str(task["name"]): task
            for task in (written if isinstance(written, list) else ())
            if isinstance(task, dict) and "name" in task
        }
        values["evaluation"] = [has.get(name, {"name": name}) for name in names]
        origins = {path: origin for path, origin in origins.items() if path[:1] != ("evaluation",)}
        for index, name in enumerate(names):
            origins["evaluation", index] = Override(f"--task {name}")
    chosen = Document(values=values, origins=origins)
    return apply_overrides(chosen, [f"evaluation.{override}" for override in overrides])


def with_held_out(document: Document, shards: Sequence[str]) -> Document:
    """The document with these shards under `data.held_out`, cut as it says there.

    A recipe that holds nothing out has them cut as its first source.

    Raises:
        ValueError: Its data are not read from shards.
    """
    data = document.values.get("data")
    kind = data.get("name", DEFAULT_KIND) if isinstance(data, dict) else None
    if not isinstance(data, dict) or kind not in (DEFAULT_KIND, "data/trajectories"):
        raise ValueError(
            f"--data names shards, and the data of the recipe are {kind}; leave it out"
        )
    sources = data.get("sources")
    like = data.get("held_out") or (sources[0] if isinstance(sources, list) and sources else None)
    like = like if isinstance(like, dict) else {}
    held_out = {**like, "name": "held_out", "shards": list(shards)}
    origins = {p: origin for p, origin in document.origins.items() if p[:2] != ("data", "held_out")}
    origins["data", "held_out"] = Override(" ".join(f"--data {one}" for one in shards))
    return Document(
        values={**document.values, "data": {**data, "held_out": held_out}}, origins=origins
    )


def named_method(document: Document) -> str | None:
    """The name under `method`; None where there is none."""
    method = document.values.get("method")
    return str(method["name"]) if isinstance(method, dict) and "name" in method else None


def refuse_method(document: Document, known: Iterable[str]) -> NoReturn:
    """Raises a RecipeError: the document names none of the `known` methods."""
    name = named_method(document)
    if name is None:
        message = f"missing; name the method to train by, one of: {', '.join(sorted(known))}"
    else:
        message = f'"{name}" is no method; {did_you_mean(name, known)}'
    raise RecipeError([locate(document, ("method", "name"), message)])


def _refuse_older_forms(document: Document) -> None:
    problems = [
        locate(document, old, f"has moved; write it as {dotted(new)}")
        for old, new in _MOVED.items()
        if _has(document.values, old)
    ]
    evaluation = document.values.get("evaluation")
    if isinstance(evaluation, dict):
        message = f"is a list of tasks; write {write_value(_tasks_of(evaluation))}"
        problems.append(locate(document, ("evaluation",), message))
    if problems:
        raise RecipeError(problems)


def _tasks_of(evaluation: Mapping[str, Any]) -> list[Value]:
    """The tasks that measure what an older recipe's mapping under `evaluation` did."""
    latents = {key: value for key, value in evaluation.items() if key != "probes"}
    tasks: list[Value] = [{"name": "latent_prediction", **latents}]
    if isinstance(evaluation.get("probes"), dict):
        together = {key: latents[key] for key in ("batch_size",) if key in latents}
        tasks.append({"name": "pen_strokes", **together, **evaluation["probes"]})
    return tasks


def _has(values: object, path: KeyPath) -> bool:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def _take(values: dict[Any, Any], path: KeyPath) -> object:
    for key in path[:-1]:
        values = values[key]
    return values.pop(path[-1])


def _put(values: dict[Any, Any], path: KeyPath, value: object) -> None:
    for key in path[:-1]:
        values = values[key]
    values[path[-1]] = value
