import pytest
import torch
from worldmodel_train.evaluation.config import EvaluationConfig
from worldmodel_train.evaluation.pen_strokes import probe_pen_strokes

from worldmodel_train.evaluation.frozen import Contestants


def test_both_encoders_and_pixels_are_probed_for_both_labels(patch_means):
    models = Contestants(
        name="tiny", trained=patch_means(error=0.0), untrained=patch_means(error=0.0, seed=1)
    )
    probes = {"characters": 5, "splits": 1, "neighbours": 3}
    config = EvaluationConfig.model_validate({"probes": probes})
    suite = probe_pen_strokes(models, torch.zeros(1, 4, 16, 16, 3, dtype=torch.uint8), config)
    assert [task.label for task in suite.tasks] == ["character", "alphabet"]
    assert [row.features for row in suite.tasks[0].scores] == [
        "trained encoder, mean",
        "trained encoder, 2x2x2",
        "untrained encoder, mean",
        "untrained encoder, 2x2x2",
        "pooled 8x8 pixels",
    ]
    assert (suite.num_train, suite.num_test) == (75, 25)
    assert suite.tasks[0].chance == pytest.approx(0.2)
    pixels = suite.tasks[0].scores[-1]
    assert pixels.knn.mean > 0.5  # five characters are told apart by their pixels
