import pytest
import torch

from worldmodel_train.cartography.pca_strip import PcaPalette, feature_strip, pca_colors
from worldmodel_train.cartography.tiling import GAP
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(2, 3, 3)


def _latents(seed=0, width=8):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(3, 0.1, width)
    return torch.randn(2, GRID.num_tokens, width, generator=generator).exp() * scale


def test_colours_have_the_shape_of_the_grid():
    colors = pca_colors(_latents(), GRID)
    assert colors.shape == (2, 2, 3, 3, 3)
    assert colors.dtype == torch.uint8
    assert colors.min() == 0
    assert colors.max() == 255


def test_equal_latents_have_equal_colours():
    latents = _latents()
    latents[1, 4] = latents[0, 2]
    colors = pca_colors(latents, GRID).reshape(2, -1, 3)
    assert (colors[1, 4] == colors[0, 2]).all()


def test_colours_survive_a_rotation_of_the_latents():
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(3))).Q
    latents = _latents()
    before, after = pca_colors(latents, GRID), pca_colors(latents @ rotation, GRID)
    assert (before.int() - after.int()).abs().max() <= 1


def test_a_kept_palette_colours_a_latent_alike_in_another_picture():
    first, second = _latents(0), _latents(1)
    second[0, 0] = first[0, 0]
    palette = PcaPalette.fit(first.flatten(0, 1))
    one, other = pca_colors(first, GRID, palette), pca_colors(second, GRID, palette)
    assert (one[0, 0, 0, 0] == other[0, 0, 0, 0]).all()


@pytest.mark.parametrize("width", [1, 2, 8])
def test_constant_latents_are_grey_at_any_width(width):
    colors = pca_colors(torch.full((1, GRID.num_tokens, width), 0.7), GRID)
    assert (colors == 128).all()


def test_latents_that_are_not_finite_are_black_and_spoil_no_other():
    latents = _latents()
    latents[0, 0] = torch.nan
    colors = pca_colors(latents, GRID).reshape(2, -1, 3)
    assert (colors[0, 0] == 0).all()
    assert colors[1].float().std() > 10
    assert (pca_colors(torch.full_like(latents, torch.nan), GRID) == 0).all()


def test_the_strip_shows_frames_above_features():
    clips = torch.randint(0, 255, (2, 4, 12, 12, 3), dtype=torch.uint8)
    strip = feature_strip(clips, _latents(), GRID)
    assert strip.shape == (4 * (12 + GAP) + GAP, 2 * (12 + GAP) + GAP, 3)
    assert strip.dtype == torch.uint8
    assert (strip[GAP : GAP + 12, GAP : GAP + 12] == clips[0, 0]).all()
    feature = strip[2 * GAP + 12 : 2 * GAP + 16, GAP : GAP + 4]
    assert (feature == feature[0, 0]).all()
