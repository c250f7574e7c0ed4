"""`key.path=value` from the command line, put into a document."""

from collections.abc import Iterable

from worldmodel_train.config.errors import RecipeError
from worldmodel_train.config.origins import Document, KeyPath, Origin, Override, Value, dotted
from worldmodel_train.config.yaml_reader import parse_value


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """The document with each override set, in order; an override replaces the value it names."""
    values = _copy(document.values)
    origins = dict(document.origins)
    problems: list[str] = []
    for text in overrides:
        try:
            path, value = _parse(text)
            path = _place(values, path, value, text)
            _note(origins, path, value, Override(text))
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return Document(values=values, origins=origins)


def _parse(text: str) -> tuple[list[str], Value]:
    key, equals, right = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError([f'{Override(text)}: write key.path=value, such as "train.steps=100"'])
    if not right.strip():
        raise RecipeError([f"{Override(text)}: no value; write null for none, '' for empty text"])
    return parts, parse_value(right, name=str(Override(text)))


def _place(values: dict[str, Value], parts: list[str], value: Value, text: str) -> KeyPath:
    """Set the value; mappings on the way that the recipe left to their defaults are made."""
    here: Value = values
    path: KeyPath = ()
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if isinstance(here, list):
            index = _index(part, here, path, text)
            path = (*path, index)
            if last:
                here[index] = value
            here = here[index]
        elif isinstance(here, dict):
            path = (*path, part)
            if last:
                here[part] = value
            elif here.get(part) is None:
                here[part] = {}
            here = here[part]
        else:
            raise RecipeError([f"{Override(text)}: {dotted(path)} is a value, not a mapping"])
    return path


def _index(part: str, items: list[Value], path: KeyPath, text: str) -> int:
    """The item of that number, or the only one whose `name` it is."""
    if part.isdecimal() and part.isascii() and len(part) < 6 and int(part) < len(items):
        return int(part)
    names = [str(item["name"]) for item in items if isinstance(item, dict) and "name" in item]
    if len(names) == len(items) and names.count(part) == 1:
        return names.index(part)
    has = f"items 0 to {len(items) - 1}" if items else "no items"
    if names:
        has = f"{has} ({', '.join(names)})"
    raise RecipeError([f"{Override(text)}: {dotted(path)} is a list with {has}, not {part!r}"])


def _note(origins: dict[KeyPath, Origin], path: KeyPath, value: Value, origin: Override) -> None:
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]
    for start in range(1, len(path)):
        origins.setdefault(path[:start], origin)
    origins[path] = origin
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        _note(origins, (*path, key), item, origin)


def _copy(values: dict[str, Value]) -> dict[str, Value]:
    return {key: _copy_value(value) for key, value in values.items()}


def _copy_value(value: Value) -> Value:
    if isinstance(value, dict):
        return _copy(value)
    if isinstance(value, list):
        return [_copy_value(item) for item in value]
    return value
