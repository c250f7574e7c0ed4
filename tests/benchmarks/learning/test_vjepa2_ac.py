import pytest
import torch

from benchmarks.learning.vjepa2_ac import errors
from tests.contracts.methods import METHODS, build, content_for


def test_predicted_and_copied_are_the_terms_of_training_and_motion_makes_a_difference():
    config = METHODS["jepa/vjepa2_ac"]
    torch.manual_seed(0)
    model = build(config).eval()
    content = content_for(config, model)
    terms, found = model.training_losses(content).terms, errors(model, content)
    assert found["predicted"] == pytest.approx(terms["teacher_forced"].item())
    assert found["copied"] == pytest.approx(terms["copied"].item())
    assert len(set(found.values())) == 4
