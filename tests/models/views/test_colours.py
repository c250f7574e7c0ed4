import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from worldmodel_train.models.views.colours import Jitter, as_it_is, change_look


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(60, 200, (2, 3, 16, 16, 3), dtype=torch.uint8, generator=generator)


def look(**numbers):
    names = ("brightness", "contrast", "saturation", "hue", "grey", "sigma", "solarized")
    looks = as_it_is(2)
    for name, value in numbers.items():
        looks[:, names.index(name)] = value
    return looks


def grey(clips):
    return clips.double() @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)


def test_nothing_is_changed_where_nothing_is_asked_for(clips):
    assert torch.equal(change_look(clips, as_it_is(2)), clips)


def test_brightness_scales_pixels(clips):
    expected = (clips.double() * 1.2).round()
    assert torch.equal(change_look(clips, look(brightness=1.2)).double(), expected)


def test_contrast_scales_the_distance_from_the_mean_grey(clips):
    level = grey(clips).mean(dim=(1, 2, 3))[:, None, None, None, None]
    expected = (clips.double() - level) * 0.7 + level
    # rounded to whole grey levels
    torch.testing.assert_close(
        change_look(clips, look(contrast=0.7)).double(), expected, atol=0.51, rtol=0
    )


@pytest.mark.parametrize("name", [{"grey": 1.0}, {"saturation": 0.0}])
def test_without_colour_the_channels_are_the_grey(clips, name):
    changed = change_look(clips, look(**name)).double()
    expected = grey(clips)[..., None].expand_as(changed)
    torch.testing.assert_close(changed, expected, atol=0.51, rtol=0)


def test_turned_colours_keep_their_grey_and_half_a_circle_back_is_half_a_circle_on(clips):
    middle = (clips.float() / 4 + 96).to(torch.uint8)  # turned colours stay within 0 to 255
    turned = change_look(middle, look(hue=0.2))
    assert not torch.equal(turned, middle)
    torch.testing.assert_close(grey(turned), grey(middle), atol=1.0, rtol=0)
    one, other = (change_look(middle, look(hue=hue)) for hue in (-0.5, 0.5))
    torch.testing.assert_close(one.int(), other.int(), atol=1, rtol=0)


def test_blur_is_a_gaussian_of_the_size_of_the_picture(clips):
    # sigma is in pixels of a picture 224 high
    blurred = change_look(clips, look(sigma=1.0 * 224 / 16))
    for clip, other in zip(clips.numpy(), blurred.numpy(), strict=True):
        expected = gaussian_filter(
            clip.astype(np.float64), sigma=(0, 1, 1, 0), mode="nearest", truncate=3.0
        )
        np.testing.assert_allclose(other, expected, atol=1.0)


def test_some_clips_are_blurred_and_others_are_not(clips):
    looks = as_it_is(2)
    looks[0, 5] = 20.0
    changed = change_look(clips, looks)
    assert not torch.equal(changed[0], clips[0])
    assert torch.equal(changed[1], clips[1])


def test_solarizing_turns_over_what_is_bright(clips):
    expected = torch.where(clips >= 128, 255 - clips, clips)
    assert torch.equal(change_look(clips, look(solarized=1.0)), expected)


def test_looks_are_drawn_within_their_ranges():
    torch.manual_seed(0)
    jitter = Jitter(probability=0.5, grey=0.2, blur=0.4, blur_sigma=(1.0, 2.0), solarize=0.1)
    looks = jitter.draw(4000)
    brightness, _, saturation, hue, grey_, sigma, solarized = looks.unbind(1)
    assert 0.6 <= brightness.min() < 0.65
    assert 1.35 < brightness.max() <= 1.4
    assert saturation.min() >= 0.8
    assert hue.abs().max() <= 0.1
    assert (brightness == 1).float().mean() == pytest.approx(0.5, abs=0.03)
    assert grey_.mean() == pytest.approx(0.2, abs=0.03)
    assert solarized.mean() == pytest.approx(0.1, abs=0.02)
    blurred = sigma > 0
    assert blurred.float().mean() == pytest.approx(0.4, abs=0.03)
    assert sigma[blurred].min() >= 1
