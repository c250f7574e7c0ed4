"""The tables and lines that say what a set of shards holds."""

from collections import Counter
from pathlib import Path

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from worldmodel_train.config.printable import printable
from worldmodel_train.data.packing.chapters import PackReport
from worldmodel_train.data.packing.check import CheckReport
from worldmodel_train.data.packing.journal import Index
from worldmodel_train.data.packing.parts import MergeReport

MOST_SHOWN = 8
LONGEST_NAME = 60  # characters of a label, say


def pack_lines(report: PackReport, out: Path) -> list[str]:
    """What was packed and what was rejected, one line each."""
    return _lines(report.index, report.rejects, out)


def merge_lines(report: MergeReport, out: Path) -> list[str]:
    """The same for a set made of parts, and how many videos are in it twice."""
    twice = f"{_count(report.twice, 'video')} packed by more than one part, so in the set twice"
    return _lines(report.index, report.rejects, out) + ([twice] if report.twice else [])


def _lines(index: Index, rejects: Counter[str], out: Path) -> list[str]:
    size = decimal(sum(shard.bytes for shard in index.shards))
    lines = [
        f"{out}: {_count(index.samples, 'sample')} in {_count(len(index.shards), 'shard')}, "
        f"{size}, {duration(index.seconds)}"
    ]
    if rejects:
        reasons = ", ".join(f"{n} {reason}" for reason, n in rejects.most_common())
        lines.append(f"rejected {rejects.total()} ({reasons}): {out / 'rejects.jsonl'}")
    return lines


def summary_table(report: CheckReport, out: Path) -> Table:
    """What a set holds: totals and histograms."""
    table = Table(title=Text(printable(out)), show_header=False, title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("shards", str(report.shards))
    table.add_row("samples", str(report.samples))
    table.add_row("bytes", decimal(report.bytes))
    table.add_row("video", duration(report.seconds))
    table.add_row("frames/s", histogram(report.frame_rates))
    table.add_row("size", histogram(report.sizes))
    table.add_row("codec", Text(histogram(report.codecs)))
    labels = f"{len(report.labels)} labels: {histogram(report.labels)}" if report.labels else ""
    missing = f"{report.unlabelled} without a label" if report.unlabelled else ""
    table.add_row("labels", Text("; ".join(filter(None, (labels, missing))) or "-"))
    verdict = f"[red]{len(report.problems)} wrong[/red]" if report.problems else "[green]ok[/green]"
    table.add_row("verdict", verdict)
    return table


def histogram(counts: Counter[str]) -> str:
    """Names from json files and how often they came; not markup, whatever they hold."""
    shown = [f"{printable(name, LONGEST_NAME)} ({n})" for name, n in counts.most_common(MOST_SHOWN)]
    rest = len(counts) - len(shown)
    return ", ".join(shown + ([f"and {rest} more"] if rest else [])) or "-"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Hours, or minutes and seconds where it is less than one hour."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"
