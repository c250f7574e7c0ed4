import pytest
import torch
from pydantic import ValidationError
from torch import nn

from worldmodel_train.models.convnext import ConvNextBlock, PyramidConfig
from worldmodel_train.models.flow.warp import warp

CONFIG = PyramidConfig(widths=(4, 6, 8), depths=(0, 1, 2), kernel=3, layer_scale=1.0)


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 8, 12, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture
def pyramid():
    torch.manual_seed(0)
    return CONFIG.build()


def test_each_level_is_half_as_large_as_the_one_before(pyramid, pictures):
    shapes = [level.shape for level in pyramid(pictures)]
    assert shapes == [(2, 4, 8, 12), (2, 6, 4, 6), (2, 8, 2, 3)]
    assert CONFIG.stride == 4


def test_each_place_has_mean_0_and_variance_1(pyramid, pictures):
    for level in pyramid(pictures):
        assert level.dtype == torch.float32
        torch.testing.assert_close(
            level.mean(dim=1), torch.zeros_like(level[:, 0]), atol=1e-5, rtol=0
        )
        # less where a place's channels differ by little: 1e-5 is added to their variance
        spread = level.var(dim=1, unbiased=False)
        assert spread.max() < 1 + 1e-5
        assert spread.median() > 0.99


def test_a_picture_does_not_depend_on_the_others(pyramid, pictures):
    alone = pyramid(pictures[:1])
    for one, both in zip(alone, pyramid(pictures), strict=True):
        torch.testing.assert_close(one, both[:1])


def test_a_block_is_that_of_convnext():
    """Written out in other layers, channels last; as the paper's figure 4."""
    torch.manual_seed(0)
    block = ConvNextBlock(6, CONFIG.model_copy(update={"kernel": 7, "layer_scale": 0.5}))
    features = torch.randn(2, 6, 5, 7)
    norm, first, _, second = block.at_place
    hidden = block.around(features).permute(0, 2, 3, 1)
    hidden = nn.functional.layer_norm(hidden, (6,), norm.weight, norm.bias, norm.eps)
    hidden = nn.functional.gelu(nn.functional.linear(hidden, first.weight, first.bias))
    hidden = nn.functional.linear(hidden, second.weight, second.bias)
    expected = features + 0.5 * hidden.permute(0, 3, 1, 2)
    torch.testing.assert_close(block(features), expected)


def test_what_a_block_adds_is_not_lost_beside_features_in_bf16():
    """Strategies gather weights in bf16, in which 1 + 1e-6 is 1."""
    torch.manual_seed(0)
    block = ConvNextBlock(6, CONFIG.model_copy(update={"layer_scale": 1e-6})).bfloat16()
    features = torch.ones(2, 6, 5, 7, dtype=torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = block(features)
    assert found.dtype == torch.float32
    assert (found != 1).float().mean() > 0.5


def test_features_move_with_the_picture(pyramid):
    """By whole places of the coarsest level, away from the border."""
    torch.manual_seed(0)
    picture = torch.randint(0, 256, (1, 48, 48, 3), dtype=torch.uint8)
    moved = picture.roll(4, dims=2)
    for level, features in enumerate(pyramid(picture)):
        other = pyramid(moved)[level]
        flow = torch.zeros(1, 2, *features.shape[2:])
        flow[:, 0] = 4 / 2**level
        inside = slice(16 >> level, 32 >> level)
        made = warp(other, flow)[:, :, inside, inside]
        torch.testing.assert_close(made, features[:, :, inside, inside], rtol=1e-4, atol=1e-4)


def test_levels_without_blocks_of_their_own_number_are_refused():
    with pytest.raises(ValidationError, match="give one of each to a level"):
        PyramidConfig(widths=(4, 8), depths=(1,))


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ValidationError, match="use 7"):
        PyramidConfig(widths=(4, 8), depths=(1, 1), kernel=6)
