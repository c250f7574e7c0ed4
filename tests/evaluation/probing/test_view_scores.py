import pytest
import torch

from worldmodel_train.evaluation.probing.view_scores import ViewPairs, view_scores
from worldmodel_train.models.views.colours import Jitter
from worldmodel_train.models.views.views import ViewConfig

VIEW = ViewConfig(jitter=Jitter(probability=1.0, grey=0.0, blur=0.0))


@pytest.fixture(scope="module")
def pairs():
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (160, 2, 8, 8, 3), dtype=torch.uint8, generator=generator)
    return ViewPairs.of(clips, VIEW, seed=0)


def known(pairs, of):
    """Features by view, whatever the pixels are."""
    return lambda pixels: of(pairs.one if pixels is pairs.one.pixels else pairs.other)


def told(scores, name):
    return sum(scores.told[name]) / len(scores.told[name])


def test_features_that_are_the_change_tell_it_and_not_the_clip(pairs):
    scores = view_scores(pairs, known(pairs, lambda view: view.change), splits=2)
    for name in ("place", "brightness", "contrast", "saturation", "hue"):
        assert told(scores, name) > 0.99
    assert told(scores, "size") > 0.9  # its logarithm, by a linear map
    assert scores.found < 0.1


def test_features_that_are_the_clips_own_find_it_and_tell_no_change(pairs):
    own = torch.randn(160, 6, generator=torch.Generator().manual_seed(1))
    scores = view_scores(pairs, known(pairs, lambda _view: own), splits=2)
    assert scores.found == 1.0
    for name in ("place", "size", "brightness", "hue"):
        assert told(scores, name) < 0.1
    assert told(scores, "mirrored") == pytest.approx(0.5, abs=0.2)


def test_views_are_drawn_from_their_seed_and_leave_torchs_generator_alone(pairs):
    clips = torch.zeros(4, 1, 8, 8, 3, dtype=torch.uint8)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = (ViewPairs.of(clips, VIEW, seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.other.change, other.other.change)
    assert not torch.equal(one.one.change, one.other.change)
