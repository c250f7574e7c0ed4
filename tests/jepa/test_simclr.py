from math import log

import pytest
import torch

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.joint_embedding import mean_latent
from worldmodel_train.jepa.simclr import Config
from worldmodel_train.losses.info_nce import nt_xent


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def test_the_loss_is_that_of_two_views_of_every_clip(objective):
    clips, config = random_clips(), objective.config
    torch.manual_seed(1)
    loss = objective.training_losses(clips).total
    torch.manual_seed(1)
    one, other = (
        objective.projector(mean_latent(objective.encoder, view.draw(clips.pixels).pixels))
        for view in config.views
    )
    torch.testing.assert_close(loss, nt_xent(one, other, temperature=config.temperature))


def test_embeddings_that_are_all_alike_are_told_apart_by_chance(objective):
    with torch.no_grad():
        objective.projector[-1].weight.zero_()
    losses = objective.training_losses(random_clips(6))
    assert losses.total.item() == pytest.approx(log(11), rel=1e-5)
    assert losses.terms["cosine"].item() == pytest.approx(1.0)
