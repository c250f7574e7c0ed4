import pytest
import torch

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.joint_embedding import mean_latent
from worldmodel_train.jepa.vicreg import Config
from worldmodel_train.losses.vicreg import VARIANCE_EPS


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def test_the_loss_is_the_published_sum(objective):
    """Written out after section 4.1 of the paper, of one view after the other."""
    clips, config = random_clips(), objective.config
    torch.manual_seed(1)
    loss = objective.training_losses(clips).total
    torch.manual_seed(1)
    views = [
        objective.projector(mean_latent(objective.encoder, view.draw(clips.pixels).pixels))
        for view in config.views
    ]
    distance = (views[0] - views[1]).square().mean()
    spread = covariances = 0.0
    for view in views:
        deviation = (view.var(dim=0) + VARIANCE_EPS).sqrt()
        spread += torch.relu(1 - deviation).mean() / 2
        covariance = torch.cov(view.T)
        own = covariance.diagonal().square().sum()
        covariances += (covariance.square().sum() - own) / view.shape[1]
    torch.testing.assert_close(loss, 25 * distance + 25 * spread + covariances)


def test_embeddings_that_are_all_alike_agree_and_pay_for_it(objective):
    with torch.no_grad():
        objective.projector[-1].weight.zero_()
    losses = objective.training_losses(random_clips())
    assert losses.terms["invariance"] == 0
    assert losses.terms["covariance"].item() == pytest.approx(0)
    assert losses.terms["variance"].item() == pytest.approx(1 - VARIANCE_EPS**0.5)
