"""How unquoted YAML scalars become values, shared by the reader and the writer.

PyYAML follows YAML 1.1, where `1e-4` is text, `on` is true and `16:9` is 969. Here the rules of
YAML 1.2 hold: numbers look like Python's, only `true` and `false` are booleans.
"""

import math
import re
from typing import Any

_BOOL = "tag:yaml.org,2002:bool"
_FLOAT = "tag:yaml.org,2002:float"
_INT = "tag:yaml.org,2002:int"
_NULL = "tag:yaml.org,2002:null"
STR = "tag:yaml.org,2002:str"

# The bounds on digits keep a hostile number from reaching Python's own limits.
_PATTERNS = (
    (_BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (_NULL, r"~|null|Null|NULL|", "~nN\0"),
    (_INT, r"[-+]?(0|[1-9][0-9_]{0,30})", "-+0123456789"),
    (
        _FLOAT,
        r"[-+]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][-+]?[0-9]{1,3})?",
        "-+.0123456789",
    ),
)


def use_plain_scalars(yaml_class: Any) -> None:  # noqa: ANN401 - PyYAML has no common base class
    """Replace the implicit scalar types of a PyYAML loader or dumper class by those above."""
    yaml_class.yaml_implicit_resolvers = {}
    for tag, pattern, first in _PATTERNS:
        starts = ["" if character == "\0" else character for character in first]
        yaml_class.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), starts)


def scalar_value(tag: str, text: str) -> str | int | float | bool | None:
    """The value of a scalar that was resolved to `tag`."""
    if tag == _BOOL:
        return text.lower() == "true"
    if tag == _NULL:
        return None
    if tag == _INT:
        return int(text.replace("_", ""))
    if tag == _FLOAT:
        number = float(text)
        return number if math.isfinite(number) else text
    return text
