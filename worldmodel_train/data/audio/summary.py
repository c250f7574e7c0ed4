"""The table that says what a folder's recordings hold."""

from pathlib import Path

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from worldmodel_train.config.printable import printable
from worldmodel_train.data.audio.check import RecordingsReport
from worldmodel_train.data.packing.summary import duration, histogram


def recordings_table(report: RecordingsReport, folder: Path) -> Table:
    """Totals and histograms."""
    table = Table(title=Text(printable(folder)), show_header=False, title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    each = f", {report.shortest:.2f} to {report.longest:.2f} s each" if report.samples else ""
    labels = f"{len(report.labels)} labels: {histogram(report.labels)}" if report.labels else ""
    missing = f"{report.unlabelled} without a label" if report.unlabelled else ""
    for name, text in (
        ("shards", str(report.shards)),
        ("samples", str(report.samples)),
        ("bytes", decimal(report.bytes)),
        ("sound", f"{duration(report.seconds)}{each}"),
        ("rate", histogram(report.rates)),
        ("channels", histogram(report.channels)),
        ("codec", histogram(report.codecs)),
        ("labels", "; ".join(filter(None, (labels, missing))) or "-"),
    ):
        table.add_row(name, Text(text))
    verdict = f"[red]{len(report.problems)} wrong[/red]" if report.problems else "[green]ok[/green]"
    table.add_row("verdict", verdict)
    return table
