"""The result in the terminal."""

from rich.table import Table

from worldmodel_train.evaluation.report import format_measured, format_number, format_percent
from worldmodel_train.evaluation.result import EvaluationResult, LatentScores


def summary_table(result: EvaluationResult) -> Table:
    """A table of what the model learned, with the baselines beside it."""
    learned = "learned" if result.learned else "did not learn"
    collapsed = "collapsed" if result.collapsed else "no collapse"
    table = Table(
        title=f"Held-out clips: {learned}, {collapsed}",
        caption="Explained variance of target latents: the mean latent gives 0, a perfect "
        "prediction 1; ± is over draws of masks, for probes over people held out.",
    )
    table.add_column("")
    table.add_column("trained", justify="right")
    table.add_column("untrained", justify="right")
    columns = (result.trained, result.untrained)
    for label, values in _rows(columns).items():
        table.add_row(label, *values)
    if result.probes is not None:
        table.add_section()
        for task in result.probes.tasks:
            for row in task.scores:
                label = f"{task.label}, {row.features}"
                table.add_row(
                    label, f"{format_percent(row.knn)} k-NN", f"{format_percent(row.linear)} linear"
                )
    return table


def _rows(columns: tuple[LatentScores, ...]) -> dict[str, list[str]]:
    return {
        "explained variance, predictor": [format_measured(c.overall.predictor) for c in columns],
        "explained variance, copy nearest": [
            format_measured(c.overall.copy_nearest) for c in columns
        ],
        "effective rank (RankMe)": [f"{c.rankme:.1f} of {c.width}" for c in columns],
        "std per dimension": [format_number(c.dimension_std) for c in columns],
        "pairwise cosine": [format_number(c.pairwise_cosine) for c in columns],
    }
