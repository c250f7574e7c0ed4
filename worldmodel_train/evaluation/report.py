"""Writes `report.html`: one file that needs nothing else, not even JavaScript."""

import base64
import mimetypes
import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worldmodel_train.evaluation.curves import draw_curves, draw_points, read_alarms, read_curves
from worldmodel_train.evaluation.result import EvaluationResult, Measurement
from worldmodel_train.evaluation.shown import shown
from worldmodel_train.evaluation.task_result import Picture, Section, contenders_tables

REPORT_FILE = "report.html"
RECIPE_FILE = "recipe.yaml"


def write_report(result: EvaluationResult, run_dir: Path) -> Path:
    """The path of the report on `result`, with the curves, pictures and recipe of `run_dir`."""
    path = run_dir / REPORT_FILE
    temporary = path.with_name(f".{REPORT_FILE}.{os.getpid()}")
    temporary.write_text(render_report(result, run_dir), encoding="utf-8")
    temporary.replace(path)
    return path


def render_report(result: EvaluationResult, run_dir: Path) -> str:
    """The report as HTML."""
    template = template_environment().get_template("report.html.j2")
    return template.render(
        result=result,
        alarms=read_alarms(run_dir),
        sections=_sections,
        chart=_chart,
        curves=[(c.title, Markup(c.svg)) for c in draw_curves(read_curves(run_dir))],
        url=lambda picture: _inline(picture, run_dir),
        recipe=_recipe_text(run_dir),
    )


def template_environment() -> Environment:
    """How pages are made: every value is escaped, and none may be missing."""
    environment = Environment(
        loader=PackageLoader("worldmodel_train.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    return environment


def _sections(measurement: Measurement) -> tuple[Section, ...]:
    """Those of the task, or a table of its numbers."""
    result = measurement.result
    if result.sections:
        return result.sections
    title = measurement.task.replace("_", " ").capitalize()
    return (Section(title=title, tables=contenders_tables(result.caption, result.numbers)),)


def _chart(measurement: Measurement, name: str) -> Markup:
    """The number of that name as a drawing, a row for each contender."""
    (number,) = [number for number in measurement.result.numbers if number.name == name]
    rows = {contender: measured.values for contender, measured in number.contenders.items()}
    return Markup(draw_points(rows, label=name))


def _inline(picture: Picture, run_dir: Path) -> str:
    """The picture as a data URL."""
    kind, _ = mimetypes.guess_type(picture.file)
    content = base64.b64encode((run_dir / picture.file).read_bytes()).decode("ascii")
    return f"data:{kind};base64,{content}"


def _recipe_text(run_dir: Path) -> str | None:
    """The run's resolved recipe, from the run directory or its last checkpoint."""
    places = [run_dir / RECIPE_FILE, *sorted(run_dir.glob(f"checkpoints/step_*/{RECIPE_FILE}"))]
    found = [place for place in places if place.is_file()]
    return found[-1].read_text(encoding="utf-8") if found else None
