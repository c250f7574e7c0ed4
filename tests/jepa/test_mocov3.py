from math import log

import pytest
import torch

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.joint_embedding import mean_latent
from worldmodel_train.jepa.mocov3 import Config
from worldmodel_train.losses.info_nce import info_nce


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def test_patches_stay_as_drawn_unless_asked_for(objective):
    patches = set(objective.encoder.patch_embed.parameters())
    grouped = {p for group in objective.parameter_groups() for p in group.parameters}
    assert not patches & grouped
    asked = Config.tiny().model_copy(update={"train_patches": True}).build()
    grouped = {p for group in asked.parameter_groups() for p in group.parameters}
    assert set(asked.encoder.patch_embed.parameters()) <= grouped


def test_each_view_is_asked_for_the_copys_other_one(objective):
    """Algorithm 1 of the paper, written out."""
    clips = random_clips()
    torch.manual_seed(1)
    losses = objective.training_losses(clips)
    torch.manual_seed(1)
    views = [view.draw(clips.pixels).pixels for view in objective.config.views]
    keys = [objective.slow_projector(mean_latent(objective.slow_encoder, view)) for view in views]
    queries = [
        objective.predictor(objective.projector(mean_latent(objective.encoder, view)))
        for view in views
    ]
    temperature = objective.config.temperature
    contrasts = [
        info_nce(queries[0], keys[1], temperature=temperature),
        info_nce(queries[1], keys[0], temperature=temperature),
    ]
    torch.testing.assert_close(losses.total, 2 * temperature * sum(contrasts))


def test_embeddings_that_are_all_alike_are_found_by_chance(objective):
    with torch.no_grad():
        for parameter in objective.predictor.parameters():
            parameter.zero_()
    losses = objective.training_losses(random_clips())
    assert losses.total.item() == pytest.approx(2 * 2 * log(6), rel=1e-4)


def test_copies_learn_nothing(objective):
    objective.training_losses(random_clips()).total.backward()
    for copy in (objective.slow_encoder, objective.slow_projector):
        assert all(p.grad is None for p in copy.parameters())
