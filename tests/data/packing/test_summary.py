"""The table of a set shows whatever strangers wrote as the text that it is."""

import io
from pathlib import Path

from rich.console import Console

from worldmodel_train.data.packing.check import CheckReport
from worldmodel_train.data.packing.sample import SampleInfo
from worldmodel_train.data.packing.summary import summary_table

HOSTILE = (
    "[bold red]x[/]", "[/]", "\x1b[31mred", "new\nline", "half \udcff", "<script>", "$\\frac{",
    ":smile:",
)  # fmt: skip


def shown(report, out="set"):
    console = Console(file=io.StringIO(), width=1000)
    console.print(summary_table(report, Path(out)))
    return console.file.getvalue()


def info(label, codec="h264"):
    return SampleInfo.model_construct(
        fps=10.0, frames=1, width=64, height=48, duration=0.1, codec=codec, label=label
    )


def test_labels_codecs_and_the_folder_are_plain_text():
    report = CheckReport()
    for text in HOSTILE:
        report.count(info(label=text, codec=text))
    text = shown(report, out="out [red]\x1b[0m")
    assert "[bold red]x[/] (1), [/] (1), \\x1b[31mred (1), new\\nline (1), half \\xff (1)" in text
    assert "<script> (1), $\\frac{ (1), :smile: (1)" in text
    assert "out [red]\\x1b[0m" in text
    assert "\x1b" not in text
    text.encode()


def test_labels_of_a_megabyte_are_counted_apart_and_shown_short():
    report = CheckReport()
    for end in "abb":
        report.count(info(label="x" * 900_000 + end))
    assert sorted(report.labels.values()) == [1, 2]
    assert sum(map(len, report.labels)) < 1000
    assert len(shown(report)) < 20_000


def test_several_labels_of_a_sample_are_each_counted_and_it_is_not_unlabelled():
    report = CheckReport()
    for sample in (info(None), info(None).model_copy(update={"labels": ("a", "b")})):
        report.count(sample)
    text = shown(report)
    assert "2 labels: a (1), b (1); 1 without a label" in text
