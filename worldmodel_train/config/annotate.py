"""A tree of values with the origin of each as a comment."""

from collections.abc import Iterator, Mapping
from typing import cast

from worldmodel_train.config.origins import KeyPath, Origin, Value
from worldmodel_train.config.printable import printable
from worldmodel_train.config.yaml_writer import write_value

COLUMN = 56
"""Where comments begin, unless the value is longer."""


def annotated_yaml(values: dict[str, Value], origins: Mapping[KeyPath, Origin]) -> str:
    """YAML that reads back as `values`; each line ends with file and line, override or default."""
    lines: list[str] = []
    for text, path in _mapping(values, (), ""):
        origin = f"# {printable(origins.get(path, 'default'))}" if path else ""
        lines.append(f"{text.ljust(COLUMN)}  {origin}".rstrip() + "\n")
    return "".join(lines)


def _mapping(values: dict[str, Value], path: KeyPath, indent: str) -> Iterator[tuple[str, KeyPath]]:
    """Lines and the path of the value that each shows; the path is empty where it shows none."""
    for key, value in values.items():
        here = (*path, key)
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:", ()
            yield from _mapping(value, here, indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield f"{indent}{key}:", ()
            yield from _mappings(value, here, indent)
        else:
            yield f"{indent}{key}: {write_value(value)}", here


def _mappings(items: list[Value], path: KeyPath, indent: str) -> Iterator[tuple[str, KeyPath]]:
    for index, item in enumerate(items):
        start = "- "
        for text, here in _mapping(cast("dict[str, Value]", item), (*path, index), ""):
            yield f"{indent}{start}{text}", here
            start = "  "
