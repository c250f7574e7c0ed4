"""Strict, safe YAML: text in, plain values and the line of each key out.

Recipes come from strangers. Nothing but mappings, lists and scalars is read; tags, anchors and
aliases (the way to a "billion laughs") are refused, and so are duplicate keys, which YAML readers
usually let pass in silence.
"""

from pathlib import Path
from typing import Any, cast

import yaml

from worldmodel_train.config.errors import RecipeError
from worldmodel_train.config.origins import (
    Document,
    FileLine,
    KeyPath,
    Origin,
    Value,
    dotted,
)
from worldmodel_train.config.scalars import STR, scalar_value, use_plain_scalars

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32


class _Loader(yaml.SafeLoader):
    """Composes nodes only; it is never asked to construct Python objects."""

    depth = 0

    # PyYAML passes an int, a node or None as index, whatever its stubs say
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        # PyYAML's stubs leave the type of events open
        event = cast("yaml.Event", self.peek_event())  # pyright: ignore[reportUnknownMemberType]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refusal(event, "anchors and aliases are not allowed in a recipe; write it out")
        if getattr(event, "tag", None):
            raise _refusal(event, "tags are not allowed in a recipe; write the plain value")
        if self.depth >= MAX_DEPTH:
            raise _refusal(event, f"nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


use_plain_scalars(_Loader)


def _refusal(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    mark = cast("yaml.Mark | None", event.start_mark)
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Builder:
    """Turns nodes into values, noting lines and gathering every problem on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.origins: dict[KeyPath, Origin] = {}
        self.problems: list[str] = []

    def note(self, node: yaml.Node, path: KeyPath) -> FileLine:
        place = FileLine(self.file, node.start_mark.line + 1)
        self.origins[path] = place
        return place

    def value(self, node: yaml.Node, path: KeyPath) -> Value:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.note(item, (*path, index))
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        self.require_whole(node, path)
        return scalar_value(node.tag, node.value)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Value]:
        result: dict[str, Value] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node, path)
            if key is None:
                continue
            if key in result:
                here = FileLine(self.file, key_node.start_mark.line + 1)
                first = self.origins[(*path, key)]
                self.problems.append(
                    f"{here}: {dotted((*path, key))}: written twice; the first is at {first}"
                )
                continue
            self.note(key_node, (*path, key))
            result[key] = self.value(value_node, (*path, key))
        return result

    def require_whole(self, node: yaml.Node, path: KeyPath) -> None:
        r"""Half characters such as "\ud83d" can be escaped in YAML, but not written to a file."""
        try:
            str(node.value).encode()
        except UnicodeEncodeError:
            place = FileLine(self.file, node.start_mark.line + 1)
            self.problems.append(f"{place}: {dotted(path)}: holds half a character")

    def key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == STR:
            self.require_whole(node, path)
            return str(node.value)
        here = FileLine(self.file, node.start_mark.line + 1)
        around = f"{dotted(path)}: " if path else ""
        self.problems.append(f"{here}: {around}a key must be a word")
        return None


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = FileLine(file, mark.line + 1 if mark else 1)
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise RecipeError([f"{place}: {reason}"]) from None
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise RecipeError([f"{file}: not readable as YAML: {reason}"]) from None


def parse_yaml(text: str, *, file: str) -> Document:
    """The mapping written in `text`; `file` is the name that errors use."""
    node = _compose(text, file)
    if not isinstance(node, yaml.MappingNode):
        raise RecipeError([f"{file}:1: a recipe is a mapping of keys to values"])
    builder = _Builder(file)
    builder.note(node, ())
    values = builder.mapping(node, ())
    if builder.problems:
        raise RecipeError(builder.problems)
    return Document(values=values, origins=builder.origins)


def parse_value(text: str, *, name: str) -> Value:
    """The scalar, list or mapping written in `text`, as on the right of an override."""
    node = _compose(text, name)
    builder = _Builder(name)
    value = builder.value(node, ()) if node is not None else None
    if builder.problems:
        raise RecipeError(builder.problems)
    return value


def read_yaml(path: Path) -> Document:
    """The mapping in the file at `path`, with the line of each key.

    Raises:
        RecipeError: naming file and line, for anything that is not plain, safe YAML.
    """
    file = display_path(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise RecipeError([f"{file}: larger than {MAX_BYTES // 1024} KiB: not a recipe"])
        return parse_yaml(data.decode("utf-8"), file=file)
    except OSError as error:
        raise RecipeError([f"{file}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise RecipeError([f"{file}: not UTF-8 text: not a recipe"]) from None


def display_path(path: Path) -> str:
    """The path relative to the working directory when it lies inside, else as given."""
    here = Path.cwd()
    absolute = path if path.is_absolute() else here / path
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else path)
