"""Measured runs side by side: the same recipe with other seeds, say."""

from collections.abc import Callable, Mapping

from rich.table import Table
from rich.text import Text

from worldmodel_train.config.printable import printable
from worldmodel_train.evaluation.result import EvaluationResult, Measured

Number = Callable[[EvaluationResult], float]

ROWS: dict[str, Number] = {
    "explained variance, trained predictor": lambda r: r.trained.overall.predictor.mean,
    "explained variance, copy nearest": lambda r: r.trained.overall.copy_nearest.mean,
    "explained variance, place and clip mean": lambda r: r.trained.overall.place_and_clip.mean,
    "explained variance, mean latent": lambda _: 0.0,
    "explained variance, untrained predictor": lambda r: r.untrained.overall.predictor.mean,
    "RankMe of clip means, trained": lambda r: r.trained.rankme,
    "RankMe of clip means, untrained": lambda r: r.untrained.rankme,
    "RankMe of tokens, trained": lambda r: r.trained.token_rankme,
    "RankMe of tokens, untrained": lambda r: r.untrained.token_rankme,
    "std per dimension, trained": lambda r: r.trained.dimension_std,
    "std per dimension, untrained": lambda r: r.untrained.dimension_std,
}


def comparison_table(results: Mapping[str, EvaluationResult]) -> Table:
    """One column for each run, and the mean and standard deviation over all of them."""
    table = Table(title=f"{len(results)} runs")
    table.add_column("")
    for heading in (*results, "mean ± sd"):
        table.add_column(Text(printable(heading, 60)), justify="right")
    for label, number in {**ROWS, **_probe_rows(results)}.items():
        over_runs = Measured(values=tuple(number(result) for result in results.values()))
        cells = [f"{value:.3f}" for value in over_runs.values]
        summary = f"{over_runs.mean:.3f} ± {over_runs.spread:.3f}"
        table.add_row(Text(printable(label)), *cells, summary)
    return table


def _probe_rows(results: Mapping[str, EvaluationResult]) -> dict[str, Number]:
    """Accuracies of the probes, where every run has them."""
    if not results or any(result.probes is None for result in results.values()):
        return {}
    first = next(iter(results.values())).probes
    assert first is not None
    return {
        f"{task.label}, {probe} on {scores.features}": _probe_number(i, j, probe)
        for i, task in enumerate(first.tasks)
        for j, scores in enumerate(task.scores)
        for probe in ("knn", "linear")
    }


def _probe_number(task: int, features: int, probe: str) -> Number:
    def number(result: EvaluationResult) -> float:
        assert result.probes is not None
        return getattr(result.probes.tasks[task].scores[features], probe).mean

    return number
