"""The log names what strangers wrote, and shows it harmlessly."""

import io
import logging

from rich.console import Console
from rich.logging import RichHandler

from worldmodel_train.training.metrics.terminal import PrintableFormatter


def test_messages_hold_no_codes_and_no_markup():
    console = Console(file=io.StringIO(), width=5000)
    handler = RichHandler(console=console, show_path=False, show_level=False, show_time=False)
    handler.setFormatter(PrintableFormatter("%(message)s"))
    key = "\x1b[2J[red]\udcff" + "x" * 900_000
    record = logging.makeLogRecord({"msg": "skipped '%s'\nand more", "args": (key,)})
    handler.handle(record)
    text = console.file.getvalue()
    assert text.startswith(r"skipped '\x1b[2J[red]\xffxxx")
    assert text.rstrip().endswith("and more")
    assert "\x1b" not in text
    assert text.count("x") < 3000
