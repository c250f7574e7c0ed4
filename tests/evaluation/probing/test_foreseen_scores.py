"""Reciprocal ranks by hand, by chance and of models whose answers are known."""

import pytest
import torch
from torch import nn

from worldmodel_train.evaluation.probing.foreseen_scores import (
    by_chance,
    foreseen_scores,
    reciprocal_ranks,
)
from worldmodel_train.models.views.colours import Jitter
from worldmodel_train.models.views.geometry import Crop
from worldmodel_train.models.views.views import ViewConfig

VIEWS = 12
IN_PLACE = Crop(area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0)
BRIGHTER = ViewConfig(
    crop=IN_PLACE,
    jitter=Jitter(probability=1.0, contrast=0.0, saturation=0.0, hue=0.0, grey=0.0, blur=0.0),
)


class MeanBrightness(nn.Module):
    """Sees how bright a clip is; `heeds` how much of a change it takes into account."""

    def __init__(self, heeds):
        super().__init__()
        self.heeds = heeds

    def foresee(self, clip, changes):
        brightness = self.view_vectors(clip)
        return brightness * (1 + self.heeds * changes[:, 6:7])

    def view_vectors(self, clips):
        return clips.double().mean(dim=(1, 2, 3, 4))[:, None].float()


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(20, 90, (3, 2, 8, 8, 3), dtype=torch.uint8, generator=generator)


def scores(model, clips, seed=0):
    return foreseen_scores(model, clips, BRIGHTER, views=VIEWS, seed=seed)


def test_ranks_are_those_counted_by_hand():
    seen = torch.tensor([[0.0], [1.0], [10.0]])
    expected = torch.tensor([[0.1], [9.0], [4.0]])
    # the second is nearest to 10, then to 1; the third to 1, then to 0, then to 10
    assert reciprocal_ranks(expected, seen).tolist() == pytest.approx([1.0, 1 / 2, 1 / 3])


def test_a_model_to_which_all_views_are_alike_finds_none():
    alike = torch.ones(7, 4)
    assert reciprocal_ranks(alike, alike).tolist() == pytest.approx([2 / 8] * 7)
    assert by_chance(7) > 2 / 8


def test_who_expects_the_same_of_all_views_scores_chance_exactly(clips):
    told = scores(MeanBrightness(heeds=0.0), clips).told
    assert told == pytest.approx([by_chance(VIEWS)] * 3)


def test_chance_is_what_random_orders_come_to():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 3000, VIEWS, 1, generator=generator)
    ranks = torch.stack([reciprocal_ranks(*pair) for pair in drawn.transpose(0, 1)])
    # 36,000 ranks spread by .28 each, those of one draw not independently
    assert float(ranks.mean()) == pytest.approx(by_chance(VIEWS), abs=0.01)


def test_who_heeds_the_change_finds_the_view_and_not_by_anothers(clips):
    found = scores(MeanBrightness(heeds=1.0), clips)
    assert found.told == pytest.approx([1.0] * 3)
    assert max(found.told_of_others) < 0.6
    # pixels of a view are rounded
    assert found.error == pytest.approx([0.0] * 3, abs=1e-3)


def test_expecting_no_change_errs_as_much_as_the_clip_itself(clips):
    assert scores(MeanBrightness(heeds=0.0), clips).error == pytest.approx([1.0] * 3)


def test_views_are_those_of_the_seed_and_torchs_generator_is_left_alone(clips):
    model = MeanBrightness(heeds=0.3)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert scores(model, clips) == scores(model, clips)
    assert torch.equal(torch.get_rng_state(), before)
    assert scores(model, clips) != scores(model, clips, seed=1)
