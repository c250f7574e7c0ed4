from math import log

import pytest
import torch

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.mocov3 import Config


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def test_patches_stay_as_drawn_unless_asked_for(objective):
    patches = set(objective.student.encoder.patch_embed.parameters())
    grouped = {p for group in objective.parameter_groups() for p in group.parameters}
    assert not patches & grouped
    asked = Config.tiny().model_copy(update={"train_patches": True}).build()
    grouped = {p for group in asked.parameter_groups() for p in group.parameters}
    assert set(asked.student.encoder.patch_embed.parameters()) <= grouped


def test_each_view_of_the_student_is_asked_for_the_copys_other_one(objective):
    """With equal networks and no predictor, swapping the views changes nothing but their order."""
    clips = random_clips()
    torch.manual_seed(1)
    losses = objective.training_losses(clips)
    torch.manual_seed(1)
    views = [view.draw(clips.pixels).pixels for view in objective.config.views]
    torch.testing.assert_close(losses.latents["target"][:6], objective.teacher(views[1]))
    torch.testing.assert_close(losses.latents["target"][6:], objective.teacher(views[0]))


def test_embeddings_that_are_all_alike_are_found_by_chance(objective):
    with torch.no_grad():
        for parameter in objective.predictor.parameters():
            parameter.zero_()
    losses = objective.training_losses(random_clips())
    assert losses.total.item() == pytest.approx(2 * 2 * log(6), rel=1e-4)


def test_copies_learn_nothing(objective):
    objective.training_losses(random_clips()).total.backward()
    assert all(p.grad is None for p in objective.teacher.parameters())
