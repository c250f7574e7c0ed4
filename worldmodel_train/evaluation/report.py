"""Writes `report.html`: one file that needs nothing else, not even JavaScript."""

import base64
import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worldmodel_train.evaluation.curves import draw_curves, draw_points, read_curves
from worldmodel_train.evaluation.result import EvaluationResult, Measured, Picture

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
    template = _environment().get_template("report.html.j2")
    return template.render(
        result=result,
        points=Markup(_draw_prediction(result)),
        curves=[(c.title, Markup(c.svg)) for c in draw_curves(read_curves(run_dir))],
        pictures=lambda kind: [
            (picture, _inline(picture, run_dir))
            for picture in result.pictures
            if picture.kind == kind
        ],
        recipe=_recipe_text(run_dir),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("worldmodel_train.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"measured": format_measured, "percent": format_percent}
    environment.filters["number"] = format_number
    return environment


def format_measured(measured: Measured) -> str:
    """Mean and spread, as `0.123 ± 0.004`; no spread where there is one value."""
    if len(measured.values) == 1:
        return format_number(measured.mean)
    return f"{format_number(measured.mean)} ± {measured.spread:.3f}"


def format_percent(measured: Measured) -> str:
    """Mean and spread of a share, as `12.3 ± 0.4 %`."""
    if len(measured.values) == 1:
        return f"{100 * measured.mean:.1f} %"
    return f"{100 * measured.mean:.1f} ± {100 * measured.spread:.1f} %"


def format_number(value: float) -> str:
    """Three decimals with a real minus sign; a dash for NaN."""
    return "–" if value != value else f"{value:.3f}".replace("-", "−")  # noqa: RUF001


def _draw_prediction(result: EvaluationResult) -> str:
    trained, untrained = result.trained.overall, result.untrained.overall
    rows = {
        "trained predictor": trained.predictor.values,
        "always the mean latent": (0.0,),
        "copy nearest visible token": trained.copy_nearest.values,
        "place and clip mean": trained.place_and_clip.values,
        "untrained predictor": untrained.predictor.values,
    }
    return draw_points(rows, label="explained variance of held-out target latents")


def _inline(picture: Picture, run_dir: Path) -> str:
    """The picture as a data URL."""
    content = base64.b64encode((run_dir / picture.file).read_bytes()).decode("ascii")
    return f"data:image/png;base64,{content}"


def _recipe_text(run_dir: Path) -> str | None:
    """The run's resolved recipe, from the run directory or its last checkpoint."""
    places = [run_dir / RECIPE_FILE, *sorted(run_dir.glob(f"checkpoints/step_*/{RECIPE_FILE}"))]
    found = [place for place in places if place.is_file()]
    return found[-1].read_text(encoding="utf-8") if found else None
