"""JSON whose last entry is the checksum of all text before it, so that no bit changes unnoticed."""

import hashlib
import re

_SEAL = ',\n  "sha256": "{}"\n}}\n'
_SEALED = re.compile(rb'(.*),\n  "sha256": "([0-9a-f]{64})"\n\}\n', re.DOTALL)


class SealError(ValueError):
    """The text is not what was sealed."""


def sealed(text: str) -> str:
    """A JSON object, with the SHA-256 of the text before as its last entry."""
    body = text.rstrip().removesuffix("}").rstrip()
    return body + _SEAL.format(hashlib.sha256(body.encode()).hexdigest())


def unsealed(content: bytes) -> bytes | None:
    """The object without its checksum; None where it has none.

    Raises:
        SealError: The checksum is another one's.
    """
    found = _SEALED.fullmatch(content)
    if found is None:
        return None
    body, seal = found.groups()
    if hashlib.sha256(body).hexdigest() != seal.decode():
        raise SealError("its checksum is wrong: bits of it have changed")
    return body + b"\n}\n"
