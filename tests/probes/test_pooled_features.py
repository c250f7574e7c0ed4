import torch
from einops import rearrange

from worldmodel_train.probes.pooled_features import pooled_latents, pooled_pixels
from worldmodel_train.types import TokenGrid


def test_pooled_pixels_are_block_means_in_order():
    clips = torch.randint(0, 256, (2, 3, 16, 16, 3), dtype=torch.uint8)
    features = pooled_pixels(clips)
    assert features.shape == (2, 3 * 8 * 8 * 3)
    first = clips[1, 0, 0:2, 2:4].float().mean(dim=(0, 1)) / 255
    assert torch.allclose(features[1, 3:6], first)


def test_pixels_that_do_not_divide_by_eight_are_pooled_too():
    clips = torch.full((1, 1, 13, 19, 3), 255, dtype=torch.uint8)
    assert torch.allclose(pooled_pixels(clips), torch.ones(1, 192))


def test_pooled_latents_keep_the_half_in_which_something_is():
    volume = torch.zeros(1, 4, 6, 6, 2)
    volume[0, 2:, :3, 3:, 1] = 1.0
    features = pooled_latents(rearrange(volume, "b t h w d -> b (t h w) d"), TokenGrid(4, 6, 6))
    cells = features.reshape(2, 2, 2, 2)
    assert cells[1, 0, 1, 1] == 1
    assert features.sum() == 1
