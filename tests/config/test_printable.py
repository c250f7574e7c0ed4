"""Whatever a stranger calls a thing, it is shown on one short line."""

import os

import pytest

from worldmodel_train.config.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 日本 🎥", "plain ünïcode 日本 🎥"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r\tand a tab", r"two\nlines\r\tand a tab"),
        ("turned \u202e round", r"turned \u202e round"),
        (os.fsdecode(b"caf\xe9.mp4"), r"caf\xe9.mp4"),
        ("half \ud83d", r"half \ud83d"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("[bold red]x[/] $\\frac{ <script>", "[bold red]x[/] $\\frac{ <script>"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text, shown):
    assert printable(text) == shown
    printable(text).encode()


def test_long_text_keeps_its_ends():
    shown = printable("begin" + "x" * 900_000 + "end", 50)
    assert len(shown) == 50
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert "..." in shown


def test_long_text_of_codes_stays_short():
    assert len(printable("\x1b" * 900_000, 50)) == 50


def test_lines_stay_lines_and_each_is_short():
    shown = printable_lines("a\x1b\n" + "b" * 1000)
    assert shown.split("\n")[0] == r"a\x1b"
    assert max(map(len, shown.split("\n"))) == 300
