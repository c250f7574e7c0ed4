"""Recipes that extend one other recipe."""

import re
from collections.abc import Sequence
from pathlib import Path

from worldmodel_train.config.errors import RecipeError
from worldmodel_train.config.origins import Document, KeyPath, Origin, Value
from worldmodel_train.config.suggest import did_you_mean
from worldmodel_train.config.yaml_reader import read_yaml

MAX_LEVELS = 2
"""A recipe, its parent and its grandparent: more could not be held in the head."""


def find_recipe(name_or_path: str, folders: Sequence[Path]) -> Path:
    """The file of a recipe: a path as given, or `<folder>/<name>.yaml` in the first that has it."""
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise RecipeError([f"{name_or_path}: no such recipe file"])
    for folder in folders:
        path = folder / f"{name_or_path}.yaml"
        if path.is_file():
            return path
    raise RecipeError([f'no recipe "{name_or_path}"; {did_you_mean(name_or_path, names(folders))}'])


def names(folders: Sequence[Path]) -> list[str]:
    """Names of all recipes in `folders`."""
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def read_with_parents(path: Path, folders: Sequence[Path]) -> Document:
    """The document at `path` merged over the recipe it extends, and that over its own."""
    chain = [path]
    documents = [read_yaml(path)]
    while "extends" in documents[-1].values:
        parent = _parent(documents[-1], [chain[-1].parent, *folders])
        _check_chain(parent, chain, documents[-1])
        chain.append(parent)
        documents.append(read_yaml(parent))
    merged = documents.pop()
    while documents:
        merged = merge(merged, documents.pop())
    return merged


def _parent(document: Document, folders: Sequence[Path]) -> Path:
    name = document.values.pop("extends")
    place = document.origins[("extends",)]
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise RecipeError([f"{place}: extends: expected the name of one recipe, got {name!r}"])
    if "name" not in document.values:
        raise RecipeError([f"{place}: name: a recipe that extends another needs a name of its own"])
    try:
        return find_recipe(name, folders)
    except RecipeError as error:
        raise RecipeError([f"{place}: extends: {error}"]) from None


def _check_chain(parent: Path, chain: Sequence[Path], child: Document) -> None:
    place = child.origins[("extends",)]
    shown = " -> ".join(path.stem for path in [*chain, parent])
    if parent.resolve() in [path.resolve() for path in chain]:
        raise RecipeError([f"{place}: extends: the recipes go in a circle: {shown}"])
    if len(chain) > MAX_LEVELS:
        raise RecipeError([f"{place}: extends: more than {MAX_LEVELS} levels: {shown}"])


def merge(parent: Document, child: Document) -> Document:
    """The child's values over the parent's.

    Mappings merge. Lists, and mappings whose `name` changes, are replaced whole, so that no key of
    one kind of thing is left over in another.
    """
    origins = dict(parent.origins)
    values: dict[str, Value] = dict(parent.values)
    for key, value in child.values.items():
        values[key] = _merge_value(values.get(key), value, (key,), origins)
    return Document(values=values, origins={**origins, **child.origins})


def _merge_value(base: Value, top: Value, path: KeyPath, origins: dict[KeyPath, Origin]) -> Value:
    if not isinstance(base, dict) or not isinstance(top, dict) or _renamed(base, top):
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]
        return top
    result = dict(base)
    for key, value in top.items():
        result[key] = _merge_value(result.get(key), value, (*path, key), origins)
    return result


def _renamed(base: dict[str, Value], top: dict[str, Value]) -> bool:
    return "name" in top and top["name"] != base.get("name")
