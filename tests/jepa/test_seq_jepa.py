import pytest
import torch

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.seq_jepa import Config
from worldmodel_train.models.views.views import CHANGE, View


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def views_of(objective, number, seed=1):
    torch.manual_seed(seed)
    return [objective.config.view.draw(random_clips().pixels) for _ in range(number)]


def test_the_reader_is_not_told_where_the_last_view_leads(objective):
    """Else the aggregate could hold what the predictor is asked for."""
    views = views_of(objective, 3)
    elsewhere = View(pixels=views[-1].pixels, change=views[-1].change + 1)
    objective.eval()
    aggregate, last = objective._read(views)
    other, to_elsewhere = objective._read([*views[:-1], elsewhere])
    torch.testing.assert_close(aggregate, other)
    assert not torch.allclose(last, to_elsewhere)


def test_the_next_view_is_not_seen(objective):
    views = views_of(objective, 3)
    other = View(pixels=255 - views[-1].pixels, change=views[-1].change)
    one, changed = (objective._read([*views[:-1], last])[0] for last in (views[-1], other))
    assert torch.equal(one, changed)


def test_the_aggregate_depends_on_every_view_and_on_the_changes_between(objective):
    objective.eval()
    views = views_of(objective, 3)
    aggregate = objective.aggregate(views)
    for place in range(3):
        changed = list(views)
        changed[place] = View(pixels=255 - views[place].pixels, change=views[place].change)
        assert not torch.allclose(objective.aggregate(changed), aggregate)
    moved = [View(pixels=view.pixels, change=view.change * (i + 1)) for i, view in enumerate(views)]
    assert not torch.allclose(objective.aggregate(moved), aggregate)


def test_the_loss_is_of_what_the_copy_sees_in_the_last_view(objective):
    losses = objective.training_losses(random_clips())
    predicted, target = losses.latents["predicted"], losses.latents["target"]
    cosine = torch.cosine_similarity(predicted, target, dim=1).mean()
    torch.testing.assert_close(losses.total, 1 - cosine)


def test_heads_that_do_not_share_the_channels_are_refused():
    config = Config.tiny().model_copy(update={"heads": 3})
    assert config.reader_width % 3
    assert Config.tiny().reader_width == 64


def test_what_is_foreseen_depends_on_the_change_and_has_length_one(objective):
    objective.eval()
    clips = random_clips().pixels[:1]
    changes = torch.zeros(2, CHANGE)
    changes[1, 0] = 0.5
    with torch.no_grad():
        still, moved = objective.foresee(clips, changes)
        (seen,) = objective.view_vectors(clips)
    assert not torch.allclose(still, moved)
    lengths = torch.stack([one.norm() for one in (still, moved, seen)])
    torch.testing.assert_close(lengths, torch.ones(3))
