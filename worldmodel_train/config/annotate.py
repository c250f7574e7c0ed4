"""A tree of values with the origin of each as a comment."""

from collections.abc import Iterator, Mapping
from typing import cast

from worldmodel_train.config.origins import KeyPath, Origin, Value
from worldmodel_train.config.yaml_writer import write_value

COLUMN = 56
"""Where comments begin, unless the value is longer."""


def annotated_yaml(values: dict[str, Value], origins: Mapping[KeyPath, Origin]) -> str:
    """YAML that reads back as `values`; each line ends with file and line, override or default."""
    return "\n".join(_mapping(values, (), origins, "")) + "\n"


def _mapping(
    values: dict[str, Value], path: KeyPath, origins: Mapping[KeyPath, Origin], indent: str
) -> Iterator[str]:
    for key, value in values.items():
        here = (*path, key)
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:"
            yield from _mapping(value, here, origins, indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield f"{indent}{key}:"
            for index, item in enumerate(value):
                lines = _mapping(cast("dict[str, Value]", item), (*here, index), origins, "")
                starts = ["- "]
                for line in lines:
                    yield f"{indent}{starts.pop() if starts else '  '}{line}"
        else:
            yield _leaf(f"{indent}{key}: {write_value(value)}", here, origins)


def _leaf(text: str, path: KeyPath, origins: Mapping[KeyPath, Origin]) -> str:
    return f"{text.ljust(COLUMN)}  # {origins.get(path, 'default')}"
