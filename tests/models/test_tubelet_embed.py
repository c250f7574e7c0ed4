import pytest
import torch
from einops import rearrange

from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD, TubeletEmbed
from worldmodel_train.types import TokenGrid


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 4, 24, 32, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("tubelet", [1, 2])
def test_it_equals_conv3d_on_normalised_pixels_then_gather(clips, tubelet):
    torch.manual_seed(0)
    embed = TubeletEmbed(16, patch=8, tubelet=tubelet)
    kernel = (tubelet, 8, 8)
    conv = torch.nn.Conv3d(3, 16, kernel_size=kernel, stride=kernel)
    embed.load_state_dict({"proj.weight": conv.weight.flatten(1), "proj.bias": conv.bias})
    pixels = (clips / 255.0 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    every_token = conv(rearrange(pixels, "b t h w c -> b c t h w")).flatten(2).transpose(1, 2)
    index = torch.stack([torch.randperm(every_token.shape[1])[:7] for _ in range(2)])
    expected = every_token[torch.arange(2)[:, None], index]
    torch.testing.assert_close(embed(clips, index), expected, rtol=1e-5, atol=1e-5)
    everything = torch.arange(every_token.shape[1])[None]
    torch.testing.assert_close(embed(clips, everything), every_token, rtol=1e-5, atol=1e-5)


def test_grid_counts_tubelets(clips):
    assert TubeletEmbed(16, patch=8, tubelet=2).grid(clips) == TokenGrid(2, 3, 4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 16, 16, 3), "frames 3, not a multiple of 2 .tubelet.; use 2"),
        ((1, 2, 20, 16, 3), "height 20, not a multiple of 8 .patch.; use 16"),
        ((1, 2, 16, 7, 3), "width 7, not a multiple of 8 .patch.; use 8"),
        ((1, 0, 16, 16, 3), "frames 0"),
        ((1, 2, 16, 16, 4), "4 channels"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(shape, message):
    embed = TubeletEmbed(16, patch=8, tubelet=2)
    with pytest.raises(ValueError, match=message):
        embed.grid(torch.zeros(shape, dtype=torch.uint8))


def test_normalisation_is_not_part_of_the_checkpoint():
    assert set(TubeletEmbed(16, patch=8, tubelet=2).state_dict()) == {"proj.weight", "proj.bias"}
