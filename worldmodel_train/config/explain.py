"""pydantic's errors in a recipe user's words: one line each, with file, line, key and remedy."""

import json
import re
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from worldmodel_train.config.errors import CombinationError, RecipeError
from worldmodel_train.config.fields import Place, find_place, tags
from worldmodel_train.config.origins import Document, KeyPath, dotted
from worldmodel_train.config.suggest import did_you_mean

_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "path": "a path",
}


def explain(error: ValidationError, model: type[BaseModel], document: Document) -> RecipeError:
    """One line for each problem of a document that does not fit `model`."""
    problems = [
        locate(document, path, message)
        for detail in error.errors(include_url=False)
        for path, message in _problems(detail, model, document)
    ]
    return RecipeError(problems)


def locate(document: Document, path: KeyPath, message: str) -> str:
    """`file:line: key: message`, or the override instead of file and line."""
    start = [str(document.origin(path) or ""), dotted(path)]
    return ": ".join([part for part in start if part] + [message])


def _problems(
    detail: ErrorDetails, model: type[BaseModel], document: Document
) -> Iterator[tuple[KeyPath, str]]:
    place = find_place(model, detail["loc"], document.values)
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, CombinationError):
        yield from ((place.path + path, message) for path, message in cause.problems)
    elif detail["type"] == "union_tag_invalid":
        tag = str(detail.get("ctx", {}).get("tag"))
        message = f"{_shown(tag)} is not a choice here; {did_you_mean(tag, tags(place.models))}"
        yield (*place.path, "name"), message
    else:
        yield place.path, _message(detail, place)


def _message(detail: ErrorDetails, place: Place) -> str:
    kind = detail["type"]
    context = detail.get("ctx", {})
    got = _shown(detail["input"])
    if kind == "extra_forbidden":
        return f"unknown key; {did_you_mean(str(place.path[-1]), place.known_keys)}"
    if kind == "missing":
        about = f" ({place.description})" if place.description else ""
        return f"missing, and it has no default{about}"
    if kind == "union_tag_not_found":
        return f'needs "name", one of: {", ".join(tags(place.models))}'
    if kind == "literal_error":
        # pydantic's list of them: 'a', 'b' or 'c', and numbers without quotes
        choices = re.findall(r"'([^']*)'|(-?\d+)", str(context["expected"]))
        choices = [text or number for text, number in choices]
        return f"{got} is not a choice here; {did_you_mean(str(detail['input']), choices)}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "int_from_float":
        return f"expected a whole number, got {got}"
    if kind == "string_pattern_mismatch":
        return f"{got} does not match {context['pattern']}"
    if kind in ("too_short", "too_long"):
        limit = "at least" if kind == "too_short" else "at most"
        count = context.get("min_length", context.get("max_length"))
        return f"expected {limit} {count} items, got {context['actual_length']}"
    expected = _EXPECTED.get(kind.partition("_")[0])
    if kind.endswith(("_type", "_parsing")) and expected:
        return f"expected {expected}, got {got}"
    message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {message}, got {got}" if message != detail["msg"] else f"{message}: {got}"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
