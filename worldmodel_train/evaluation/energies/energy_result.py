"""Numbers, verdict and section of energies."""

from collections.abc import Iterator, Mapping

from worldmodel_train.evaluation.energies.energy_scores import EnergyScores
from worldmodel_train.evaluation.shown import shown
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Measured,
    Number,
    Section,
    TaskResult,
    Verdict,
    contenders_tables,
)

PIXELS, CHANCE = "pixels of the last picture", 0.5
SPECTRUM = "spectrum of the last moment"

_RULES = {
    PIXELS: "The mean absolute difference from the last picture of the context: little where "
    "little moves.",
    SPECTRUM: "The mean absolute difference of logarithms from the spectrum at the end of the "
    "context: little where a sound goes on.",
}

Scores = Mapping[str, EnergyScores]
"""By the way of failing to go together."""


def energy_result(
    trained: Scores, untrained: Scores, rule: Scores, *, called: str, num_samples: int
) -> TaskResult:
    """All ways beside each other; `rule` is what needs no model."""
    numbers = tuple(_numbers(trained, untrained, rule, called))
    areas = [number for number in numbers if number.name.startswith("energy AUC")]
    beaten = [n for n in areas if all(_above(n.trained, one) for one in n.baselines.values())]
    told = ", ".join(f"{n.name.removeprefix('energy AUC, ')} {shown(n.trained)}" for n in areas)
    return TaskResult(
        measured_on=f"{num_samples} held-out samples, each with itself and with others",
        caption="Share of pairs in which what goes together has less energy; chance is 0.5.",
        numbers=numbers,
        verdicts=(
            Verdict(
                good=len(beaten) == len(areas),
                claim=f"Energies tell {len(beaten)} of {len(areas)} kinds of pairs better than "
                f"{called.split()[0]} and the untrained model.",
                text=f"Area under the ROC curve: {told}.",
            ),
        ),
        sections=(
            Section(
                title="Energy of what goes together",
                tables=contenders_tables("Mean ± spread over drawings of pairs", numbers),
                notes={
                    "Energy AUC": "A pair is what was (the first half of a clip; the first "
                    "observation and the actions) and what comes of it. Of every pair that is "
                    "and every one that was made up: how often the first has less energy.",
                    "Same context": "The same share, comparing pairs of one context alone, or of "
                    "one target where contexts are made up.",
                    called.capitalize(): _RULES[called],
                },
            ),
        ),
    )


def _numbers(trained: Scores, untrained: Scores, rule: Scores, called: str) -> Iterator[Number]:
    for way, scores in trained.items():
        for name, values in (("energy AUC", "auc"), ("energy, same context", "same_context")):
            yield Number(
                name=f"{name}, {way}",
                trained=Measured(values=getattr(scores, values)),
                baselines={
                    UNTRAINED: Measured(values=getattr(untrained[way], values)),
                    called: Measured(values=getattr(rule[way], values)),
                },
            )


def _above(one: Measured, other: Measured) -> bool:
    return one.mean > max(other.mean, CHANCE)
