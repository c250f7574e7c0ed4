import pytest
import torch

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.seq_jepa import Config
from worldmodel_train.models.views.saccades import Saccades
from worldmodel_train.models.views.views import CHANGE
from worldmodel_train.protocols import View
from worldmodel_train.recipe import load_recipe


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


def of_patches(**changes):
    return Config.tiny().model_copy(update={"view": Saccades(name="saccades", size=8), **changes})


def test_it_learns_from_patches_around_fixations_and_where_they_lead():
    torch.manual_seed(0)
    objective = of_patches().build()
    assert {view.pixels.shape[2:4] for view in objective.look_around(random_clips().pixels)} == {
        (8, 8)
    }
    losses = objective.training_losses(random_clips())
    losses.total.backward()
    told = objective.changes[0].weight.grad
    assert told[:, :2].abs().min() > 0  # where it looks
    assert told[:, 4].abs().max() == 0  # nothing is mirrored


@pytest.mark.parametrize(
    ("size", "message"),
    [(16, "a patch of 16 pixels is all of 16"), (12, "12 is not a multiple of .*patch=8")],
)
def test_patches_that_do_not_suit_clips_or_tokens_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(
            "seq_jepa_saccades_films",
            [f"method.view.size={size}", "data.size=16", "method.encoder.patch=8"],
        )


def test_a_view_is_by_crop_and_colours_unless_its_name_says_otherwise():
    as_stored = Config.tiny().model_dump()
    assert "name" not in as_stored["view"]
    assert Config.model_validate(as_stored) == Config.tiny()
    assert Config.model_validate(of_patches().model_dump()) == of_patches()
