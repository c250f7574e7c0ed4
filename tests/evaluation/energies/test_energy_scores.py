import pytest
import torch
from sklearn.metrics import roc_auc_score

from worldmodel_train.evaluation.energies.energy_scores import (
    energy_scores,
    pixel_energy,
    share_below,
)
from worldmodel_train.evaluation.energies.pairs import Pair
from worldmodel_train.types import Clips, Trajectories


def moving(clips=6):
    """Each clip brightens steadily, from a level of its own."""
    levels = 30 * torch.arange(clips)[:, None] + 2 * torch.arange(8)
    pixels = levels.to(torch.uint8)[..., None, None, None].expand(clips, 8, 4, 4, 3)
    return Clips(pixels=pixels, samples=tuple(range(clips)))


def test_the_share_is_the_area_under_the_roc_curve():
    generator = torch.Generator().manual_seed(0)
    fitting, made_up = torch.randn(40, generator=generator), torch.randn(30, generator=generator)
    made_up[:5] = fitting[:5]  # ties
    labels = torch.cat((torch.zeros(40), torch.ones(30)))
    expected = roc_auc_score(labels.numpy(), torch.cat((fitting, made_up)).numpy())
    assert share_below(fitting[:, None], made_up[None]) == pytest.approx(expected)


def test_pixels_tell_another_clip_and_no_order():
    scores = energy_scores(pixel_energy, moving(), seeds=(0, 1))
    assert scores["other sample"].auc == (1.0, 1.0)
    assert scores["time reversed"].auc == (0.5, 0.5)
    assert scores["time shuffled"].same_context == (0.5, 0.5)


def test_one_context_is_told_apart_where_levels_of_contexts_differ_more():
    clips = moving()
    hidden = torch.arange(6).double() * 100

    def energy(pair):
        return hidden + (pair.context.pixels != pair.target.pixels).flatten(1).any(dim=1)

    scores = energy_scores(energy, clips, seeds=(0,))["time reversed"]
    assert scores.same_context == (1.0,)
    assert scores.auc[0] == pytest.approx((15 + 6) / 36)


def test_pixels_of_windows_and_images_are_compared_too():
    frames = torch.zeros(2, 3, 4, 4, 3, dtype=torch.uint8)
    frames[1, 1:] = 51
    windows = Trajectories(observations=frames, actions=torch.zeros(2, 2, 1), samples=(0, 1))
    assert pixel_energy(Pair(windows, windows)).tolist() == pytest.approx([0, 0.2])
    image = torch.zeros(1, 1, 4, 4, 3, dtype=torch.uint8)
    image[:, :, 2:] = 102
    images = Clips(pixels=image, samples=(0,))
    assert pixel_energy(Pair(images, images)).tolist() == pytest.approx([0.4])
