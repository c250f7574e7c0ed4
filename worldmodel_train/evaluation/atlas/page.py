"""Writes `atlas.html`: one file that needs nothing else."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldmodel_train.evaluation.report import template_environment
from worldmodel_train.evaluation.task_result import Table

ATLAS_FILE = "atlas.html"


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A picture of the atlas."""

    title: str
    png: bytes

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What one section shows, against what, and where it falls short."""

    title: str
    text: str
    findings: tuple[str, ...] = ()
    """Sentences of what came out, one below the other."""
    tables: tuple[Table, ...] = ()
    plates: tuple[Plate, ...] = ()


def write_atlas(name: str, chapters: Sequence[Chapter], run_dir: Path) -> Path:
    """The path of the page."""
    path = run_dir / ATLAS_FILE
    template = template_environment().get_template("atlas.html.j2")
    temporary = path.with_name(f".{ATLAS_FILE}.{os.getpid()}")
    temporary.write_text(template.render(name=name, chapters=chapters), encoding="utf-8")
    temporary.replace(path)
    return path
