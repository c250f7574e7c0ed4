"""JSON that others wrote: text in, plain values or a checked model out.

What Python's reader lets pass or breaks on is refused in one line that begins with the place: text
nested so deeply that it exhausts the stack, numbers of thousands of digits, NaN, keys that stand
twice. What becomes a model must also hold whole characters only.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar, cast

from pydantic import BaseModel, ValidationError

from worldmodel_train.config.explain import explain
from worldmodel_train.config.origins import Document, Value
from worldmodel_train.config.printable import printable

MAX_DEPTH = 64
MAX_DIGITS = 20  # more than any 64-bit number has

ModelT = TypeVar("ModelT", bound=BaseModel)


class JsonError(ValueError):
    """Text that is not the JSON that was expected; `problem` is the message without the place."""

    def __init__(self, place: object, problem: str) -> None:
        super().__init__(f"{printable(place, 1000)}: {problem}")
        self.problem = problem


def parse_json(text: str | bytes, place: object, *, allow_nan: bool = False) -> Value:
    """The value written in `text`; `place` (a file, a line of it) begins every message.

    `allow_nan` is for numbers of ours that may be NaN or infinite, such as a diverged loss.

    Raises:
        JsonError: for anything that is not plain JSON in UTF-8.
    """
    try:
        value = (_WITH_NAN if allow_nan else _FINITE).decode(_characters(text))
        _require_shallow(value)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise JsonError(place, f"is not JSON ({error.msg}, {where})") from None
    except RecursionError:
        raise JsonError(place, f"is nested deeper than {MAX_DEPTH} levels") from None
    except _Refused as refusal:
        raise JsonError(place, str(refusal)) from None
    return value


def parse_object(text: str | bytes, place: object, *, allow_nan: bool = False) -> dict[str, Any]:
    """The same for text that must be a JSON object."""
    value = parse_json(text, place, allow_nan=allow_nan)
    if not isinstance(value, dict):
        raise JsonError(place, "is not a JSON object, { ... }")
    return value


def parse_model(
    model: type[ModelT], text: str | bytes, place: object, *, allow_nan: bool = False
) -> ModelT:
    """The JSON object in `text` as a `model`; JsonError names the first key that does not fit."""
    values = parse_object(text, place, allow_nan=allow_nan)
    try:
        return model.model_validate_json(json.dumps(values, ensure_ascii=False).encode())
    except UnicodeEncodeError as error:
        half = printable(error.object[error.start], 10)
        raise JsonError(place, f"holds half a character ({half})") from None
    except ValidationError as error:
        first, *others = explain(error, model, Document(values=values)).problems
        more = f" (and {len(others)} more)" if others else ""
        raise JsonError(place, f"{printable(first)}{more}") from None


class _Refused(Exception):  # noqa: N818 - becomes a JsonError, once the place is known
    """What a hook of the reader found."""


def _characters(text: str | bytes) -> str:
    try:
        return text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Refused(f"is not UTF-8 text ({error.reason} at byte {error.start})") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _Refused(f'"{printable(twice, 60)}" is written twice')
    return values


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _Refused(f"a whole number of {len(text)} digits")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused(f"{printable(text, 30)} is too large a number")
    return number


def _no_number(text: str) -> NoReturn:
    raise _Refused(f"{text} is not a number in JSON")


_FINITE = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_no_number
)
_WITH_NAN = json.JSONDecoder(object_pairs_hook=_object, parse_int=_int)


def _require_shallow(value: Value) -> None:
    """Looks level by level, without recursion, how deep the value is."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise RecursionError


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        children = cast("dict[str, object]", value)
        return children.values()
    if isinstance(value, list):
        return cast("list[object]", value)
    return ()
