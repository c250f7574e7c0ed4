"""The result in the terminal."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from worldmodel_train.config.printable import printable
from worldmodel_train.evaluation.report import format_measured, format_number, format_percent
from worldmodel_train.evaluation.result import (
    TRAINED,
    UNTRAINED,
    EvaluationResult,
    LatentScores,
    ProbeTask,
)

_Row = tuple[str, str, str, str]


def summary_table(result: EvaluationResult) -> Table:
    """A table of what the model learned: trained, untrained, and what needs no model."""
    learned = "learned" if result.learned else "did not learn"
    collapsed = "collapsed" if result.collapsed else "no collapse"
    table = Table(
        title=f"{result.num_clips} held-out clips: {learned}, {collapsed}",
        caption="Explained variance: 1 is perfect, 0 as good as the mean latent; ± over draws of "
        "masks. Probes: accuracy on pen strokes, ± over people held out.",
    )
    table.add_column("")
    for column in ("trained", "untrained", "baseline"):
        table.add_column(column, justify="right")
    for row in _latent_rows(result.trained, result.untrained):
        table.add_row(*row)
    if result.probes is not None:
        table.add_section()
        for task in result.probes.tasks:
            for row in _probe_rows(task):
                table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _latent_rows(trained: LatentScores, untrained: LatentScores) -> list[_Row]:
    both = (trained, untrained)
    predictor, copying, usual = (
        [format_measured(getattr(scores.overall, name)) for scores in both]
        for name in ("predictor", "copy_nearest", "place_and_clip")
    )
    rank = [f"{scores.rankme:.1f} of {scores.width}" for scores in both]
    token_rank = [f"{scores.token_rankme:.1f} of {scores.width}" for scores in both]
    spread = [format_number(scores.dimension_std) for scores in both]
    cosine = [format_number(scores.pairwise_cosine) for scores in both]
    return [
        ("explained variance", predictor[0], predictor[1], "0 (mean)"),
        ("  by copying the nearest", copying[0], copying[1], ""),
        ("  by place and clip mean", usual[0], usual[1], ""),
        ("RankMe of clip means", rank[0], rank[1], ""),
        ("RankMe of tokens", token_rank[0], token_rank[1], ""),
        ("std per dimension", spread[0], spread[1], ""),
        ("pairwise cosine", cosine[0], cosine[1], ""),
    ]


def _probe_rows(task: ProbeTask) -> Iterator[_Row]:
    """For each probe and pooling a row: trained, untrained, and pixels once for each probe."""
    for probe, shown in (("knn", "k-NN"), ("linear", "linear")):
        accuracy = {row.features: format_percent(getattr(row, probe)) for row in task.scores}
        encoders = (TRAINED, UNTRAINED)
        pixels = [text for name, text in accuracy.items() if not name.startswith(encoders)]
        for name, text in accuracy.items():
            if name.startswith(TRAINED):
                pooling = name.removeprefix(TRAINED)
                label = f"{task.label}, {shown}{pooling}"
                yield label, text, accuracy.get(UNTRAINED + pooling, ""), ", ".join(pixels)
