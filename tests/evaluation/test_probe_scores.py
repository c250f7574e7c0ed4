"""What is made of the probes' accuracies."""

import pytest

from worldmodel_train.evaluation.probe_scores import probe_result
from worldmodel_train.evaluation.probe_words import pen_stroke_words
from worldmodel_train.evaluation.task_result import Measured


def _task(suite, trained, rival):
    scores = [
        score.model_copy(update={"knn": Measured(values=values)})
        for score, values in zip(suite.tasks[0].scores, (trained, rival), strict=True)
    ]
    return suite.tasks[0].model_copy(update={"scores": tuple(scores)})


@pytest.mark.parametrize(
    ("trained", "rival", "says"),
    [
        ((0.6, 0.6), (0.5, 0.5), "k-NN: training wins; "),
        ((0.5, 0.5), (0.6, 0.6), "k-NN: training does not win; "),
        ((0.5, 0.7), (0.5, 0.6), "k-NN: training does not win beyond the spread; "),
    ],
)
def test_the_probe_verdict_says_whether_training_wins(suite, trained, rival, says):
    knn, linear = _task(suite, trained, rival).verdicts
    assert knn.startswith(says)
    assert "(pooled 8x8 pixels)" in knn
    assert linear.startswith("Linear: training wins; ")


def test_each_probe_is_a_number_beside_pixels_and_the_untrained_encoder(suite):
    (task,) = suite.tasks
    untrained = task.scores[0].model_copy(update={"features": "untrained encoder, mean"})
    task = task.model_copy(update={"scores": (*task.scores, untrained)})
    result = probe_result(suite.model_copy(update={"tasks": (task,)}), pen_stroke_words)
    assert [number.name for number in result.numbers] == [
        "character, k-NN, mean", "character, linear, mean",
    ]  # fmt: skip
    assert list(result.numbers[0].baselines) == ["pooled 8x8 pixels", "untrained"]
    (table,) = result.sections[0].tables
    assert table.best(1) == 0.6
    assert table.best(0) is None
