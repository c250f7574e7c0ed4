import pytest
import torch

from tests.contracts.methods import masked_group
from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.image_world_model import Config
from worldmodel_train.models.views.colours import as_it_is
from worldmodel_train.models.views.geometry import PLACE
from worldmodel_train.models.views.views import CHANGE
from worldmodel_train.types import MaskedClips


@pytest.fixture
def config():
    return Config.tiny()


@pytest.fixture
def objective(config):
    torch.manual_seed(0)
    return config.build()


def brighter(clips):
    look = as_it_is(clips)
    look[:, 0] = 1.3
    return look - as_it_is(clips)


def test_what_is_imagined_depends_on_the_change(objective, config):
    group = masked_group(config, 3, 1)
    contexts = objective.encode_context(group)
    as_seen = objective.predict_from(contexts, group)
    changed = objective.imagine(contexts, group, brighter(3))
    assert all(not torch.allclose(one, other) for one, other in zip(as_seen, changed, strict=True))


def test_each_sample_is_told_its_own_change(objective, config):
    group = masked_group(config, 3, 1)
    contexts = objective.encode_context(group)
    changes = brighter(3)
    changes[1:] = 0
    for still, changed in zip(
        objective.predict_from(contexts, group),
        objective.imagine(contexts, group, changes),
        strict=True,
    ):
        assert not torch.allclose(changed[0], still[0])
        torch.testing.assert_close(changed[1:], still[1:])


def test_without_conditioning_nothing_is_told(config):
    torch.manual_seed(0)
    untold = config.model_copy(update={"conditioned": False}).build()
    group = masked_group(config, 3, 1)
    contexts = untold.encode_context(group)
    for still, changed in zip(
        untold.predict_from(contexts, group),
        untold.imagine(contexts, group, brighter(3)),
        strict=True,
    ):
        assert torch.equal(still, changed)


def test_targets_are_seen_in_a_look_of_their_own(objective, config):
    group = masked_group(config, 3, 1)
    torch.manual_seed(1)
    losses = objective.training_losses(MaskedClips(groups=(group,)))
    as_it_is_seen = torch.cat([pair.target.flatten(0, 2) for pair in objective.predict(group)])
    assert not torch.allclose(losses.latents["target"], as_it_is_seen)


def test_what_is_foreseen_is_all_of_the_clip_in_the_look_that_is_told(objective):
    clips = random_clips().pixels[:1]
    changes = torch.zeros(3, CHANGE)
    changes[1, PLACE:] = brighter(1)[0]
    changes[2, :PLACE] = 0.5
    with torch.no_grad():
        still, changed, moved = objective.foresee(clips, changes)
        assert still.shape == objective.view_vectors(clips)[0].shape
    assert not torch.allclose(still, changed)
    torch.testing.assert_close(still, moved)  # of places nothing is told
