"""Numbers, verdict and section of two models' losses on held-out samples."""

from collections.abc import Mapping

from worldmodel_train.evaluation.latents.losses import TOTAL
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


def loss_result(
    trained: Mapping[str, Measured],
    untrained: Mapping[str, Measured],
    *,
    method: str,
    num_samples: int,
) -> TaskResult:
    """Both models' losses beside each other."""
    # losses of different methods are of different things, and so are the numbers' names
    numbers = tuple(
        Number(
            name=f"{name} of {method}",
            lower_is_better=True,
            trained=loss,
            baselines={UNTRAINED: untrained[name]},
        )
        for name, loss in trained.items()
    )
    after, before = trained[TOTAL], untrained[TOTAL]
    fell = all(one < other for one, other in zip(after.values, before.values, strict=True))
    draws = f"{len(after.values)} draws of what {method} draws at random"
    return TaskResult(
        measured_on=f"{num_samples} held-out samples, with {draws}",
        caption="The training loss and its terms; less than untrained is what training brought.",
        numbers=numbers,
        verdicts=(
            Verdict(
                good=fell,
                claim="The held-out loss fell." if fell else "The held-out loss did not fall.",
                text=f"It is {shown(after)}, and was {shown(before)} before training.",
            ),
        ),
        sections=(
            Section(
                title="Loss on held-out data",
                tables=contenders_tables(f"Mean ± spread over {draws}", numbers),
                notes={
                    "Loss": "What the recipe trains on, in evaluation mode and fp32, on samples "
                    "that training never saw, the same draws for both. Its terms are named as in "
                    "the training curves. A loss that falls says that training works; what the "
                    "model is good for it does not say.",
                    "“It fell”": "It lies below the untrained model's under each of the draws.",
                },
            ),
        ),
    )
