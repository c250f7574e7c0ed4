r"""Text that others wrote, as it may be shown: on one line, short, and harmless to a terminal.

A label, a key or a file's name may hold codes that move the cursor, line ends, text that turns the
direction of writing, bytes that are not UTF-8, or a megabyte. Where text is also read as markup,
its caller says so: rich gets a `Text`, matplotlib `parse_math=False`, HTML is escaped by jinja2.
"""

LONGEST = 300  # characters
_JOINERS = "\u200c\u200d"  # invisible, but part of words and emoji


def printable(text: object, limit: int = LONGEST) -> str:
    r"""`text` with what cannot be seen as `\x1b`, and its middle cut out beyond `limit`."""
    shown = _shortened(str(text), limit)
    if not shown.isprintable():
        shown = _shortened("".join(map(_visible, shown)), limit)
    return shown


def printable_lines(text: object, limit: int = LONGEST) -> str:
    """The same for each line of a text that may have several."""
    return "\n".join(printable(line, limit) for line in str(text).split("\n"))


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 3]}...{text[-tail:]}"


def _visible(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
