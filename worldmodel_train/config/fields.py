"""Finds the place of a validation error in the recipe and in the schema.

pydantic says where an error is by keys, list indexes and, inside unions, the branch it tried. A
user knows only the keys and indexes; suggestions need the models that own the key.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from worldmodel_train.config.origins import KeyPath, Value

Models = tuple[type[BaseModel], ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A key path, the value there, and the models that the mapping around it may be."""

    path: KeyPath
    value: Value
    owners: Models
    models: Models
    """What the value itself may be; empty for plain values."""

    @property
    def known_keys(self) -> list[str]:
        """Every key that the mapping around this place may have."""
        return sorted({name for owner in self.owners for name in owner.model_fields})

    @property
    def description(self) -> str:
        """The first sentence of the field's documentation, or nothing."""
        docs = [owner.model_fields[key].description for owner in self.owners
                for key in self.path[-1:] if key in owner.model_fields]  # fmt: skip
        return (docs[0] or "").partition("\n")[0].rstrip(".") if docs else ""


def find_place(root: type[BaseModel], loc: KeyPath, values: Value) -> Place:
    """The place that pydantic calls `loc`, without the names of union branches."""
    path: KeyPath = ()
    owners: Models = ()
    models: Models = (root,)
    value: Value = values
    for part in loc:
        branch = _branch(models, part)
        if branch:
            models = branch
        elif _is_key(value, part, models):
            path, value = (*path, part), _child(value, part)
            if isinstance(part, str):
                owners, models = models, _below(models, part)
    return Place(path=path, value=value, owners=owners, models=models)


def _child(value: Value, part: str | int) -> Value:
    if isinstance(value, list) and isinstance(part, int):
        return value[part] if part < len(value) else None  # an item that is missing
    return value.get(part) if isinstance(value, dict) and isinstance(part, str) else None


def tags(models: Models) -> list[str]:
    """The values of `name` that tell `models` apart."""
    return sorted({tag for model in models for tag in _tags(model)})


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    field = model.model_fields.get("name")
    return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def _branch(models: Models, part: str | int) -> Models:
    if len(models) < 2:
        return ()
    return tuple(m for m in models if part in _tags(m) or part == m.__name__)


def _is_key(value: Value, part: str | int, models: Models) -> bool:
    """False for the name of a union's branch, the only other thing that a loc may hold."""
    if isinstance(value, list):
        return isinstance(part, int)
    known = any(part in model.model_fields for model in models)
    return isinstance(value, dict) and (part in value or known)


def _below(models: Models, key: str) -> Models:
    """Models that the value of `key` may be."""
    fields = [model.model_fields[key] for model in models if key in model.model_fields]
    found = [model for field in fields for model in models_in(field.annotation)]
    return tuple(dict.fromkeys(found))


def models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any annotation
    """The models that an annotation names, in any depth of unions and containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]
