from functools import partial
from math import log

import pytest
import torch

from tests.jepa.random_clips import random_clips
from tests.two_ranks import on_two_ranks
from worldmodel_train.jepa.dino import Config


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def test_the_copy_sees_large_views_alone(objective, monkeypatch):
    seen = {"student": [], "teacher": []}
    for name, network in (("student", objective.encoder), ("teacher", objective.slow_encoder)):
        forward = network.forward
        monkeypatch.setattr(
            network,
            "forward",
            lambda clips, kept, name=name, forward=forward: (
                seen[name].append(clips.shape[2]),
                forward(clips, kept),
            )[1],
        )
    objective.training_losses(random_clips())
    assert seen == {"student": [16, 16, 8], "teacher": [16, 16]}


def test_the_centre_moves_towards_what_the_copy_has_said_in_training_alone(objective):
    losses = objective.training_losses(random_clips())
    said = losses.latents["target"].mean(dim=0)
    torch.testing.assert_close(objective.center, 0.1 * said)
    before = objective.center.clone()
    objective.eval().training_losses(random_clips())
    assert torch.equal(objective.center, before)


def test_a_prototype_that_is_said_of_all_clips_is_centred_away(objective):
    cosines = torch.zeros(6, 24)
    cosines[:, 3] = 1.0
    surely = objective._sharp(cosines)
    assert surely[:, 3].min() > 0.99
    objective.center.copy_(cosines.mean(dim=0))
    torch.testing.assert_close(objective._sharp(cosines), torch.full((6, 24), 1 / 24))


def test_where_all_is_said_of_all_the_loss_is_the_logarithm_of_prototypes(objective):
    with torch.no_grad():
        for head in (objective.head, objective.slow_head):
            head.maps[-1].weight.zero_()
            head.maps[-1].bias.fill_(1.0)
            head.directions.weight.fill_(1.0)
    losses = objective.training_losses(random_clips())
    assert losses.total.item() == pytest.approx(log(24), rel=1e-5)
    assert losses.terms["teacher_entropy"].item() == pytest.approx(log(24), rel=1e-5)


def test_balanced_targets_share_prototypes_out_between_both_views_of_all_clips():
    torch.manual_seed(0)
    config = Config.tiny().model_copy(update={"balancing_passes": 100})
    objective = config.build()
    views = [0.9 + 0.1 * torch.rand(12, 24) for _ in range(2)]  # much alike
    truth = objective._truth(views)
    torch.testing.assert_close(torch.cat(truth).sum(dim=0), torch.ones(24), atol=1e-3, rtol=0)
    for view, true in zip(views, truth, strict=True):
        together = view / config.teacher_temperature - true.log()
        # what was taken from each is of its sample and of its prototype, and of nothing else
        apart = together - together.mean(dim=0) - together.mean(dim=1, keepdim=True)
        torch.testing.assert_close(apart, -together.mean().expand_as(apart), atol=1e-4, rtol=1e-4)


@pytest.mark.distributed
# Python 3.12 and later warn of forks beside threads
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_targets_balanced_over_two_ranks_are_those_of_one_with_the_joined_batch(tmp_path):
    torch.manual_seed(0)
    config = Config.tiny().model_copy(update={"balancing_passes": 3})
    objective, views = config.build(), 0.9 + 0.1 * torch.rand(2, 12, 24)
    expected = torch.stack(objective._truth(views.unbind()))
    halves = on_two_ranks(partial(_truth_of_half, objective, views), tmp_path)
    for found, whole in zip(halves, expected.split(6, dim=1), strict=True):
        # a sum over 24 rows is made in another order
        torch.testing.assert_close(torch.tensor(found), whole, atol=1e-6, rtol=1e-5)
    # else each rank could have balanced its own rows
    apart = torch.stack(objective._truth(views[:, :6].unbind()))
    assert (apart - expected[:, :6]).abs().max() > 1e-2


def _truth_of_half(objective, views, rank):
    own = views[:, 6 * rank : 6 * rank + 6]
    return torch.stack(objective._truth(own.unbind())).tolist()


def test_prototypes_rest_in_the_first_steps_and_what_is_said_is_the_same(objective):
    objective.config = objective.config.model_copy(update={"resting_steps": 2})
    clips, losses = random_clips(), []
    for step, moved in ((0, False), (1, False), (2, True)):
        objective.begin_step(step)
        objective.zero_grad()
        torch.manual_seed(0)
        losses.append(objective.eval().training_losses(clips).total)
        losses[-1].backward()
        assert objective.head.directions.weight.grad.any() == moved
        assert objective.head.maps[0].weight.grad.any()
    assert losses[0] == losses[1] == losses[2]
