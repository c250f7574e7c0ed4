import torch

from worldmodel_train.masks import Multiblock3D
from worldmodel_train.masks.draw import MaskPreparation, draw_masks, group_seed
from worldmodel_train.types import Clips, TokenGrid

GRID = TokenGrid(8, 16, 16)


def test_groups_that_are_configured_alike_place_their_blocks_apart():
    one_block = Multiblock3D(num_blocks=1, aspect_ratio=(1.0, 1.0))
    pair = draw_masks([one_block, one_block], GRID, seed=0, step=0, samples=range(200))
    first, second = (masks.target_index[:, 0, 0].double() for masks in pair)
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.25


def test_masked_clips_keep_their_labels():
    prepare = MaskPreparation(samplers=(Multiblock3D(num_blocks=1),), tubelet=2, patch=8)
    pixels, labels = torch.zeros(2, 4, 32, 32, 3, dtype=torch.uint8), torch.tensor([4, 7])
    clips = Clips(pixels=pixels, samples=(0, 1), labels=labels)
    (group,) = prepare([clips], seed=0, step=0).map(lambda tensor: tensor + 1).groups
    assert group.labels.tolist() == [5, 8]
    (bare,) = prepare([Clips(pixels=pixels, samples=(0, 1))], seed=0, step=0).groups
    assert bare.labels is None


def test_a_group_draws_what_its_sampler_draws_from_the_seed_of_the_group():
    sampler = Multiblock3D()
    drawn = draw_masks([sampler, sampler], GRID, seed=5, step=2, samples=[7, 8])[1]
    alone = sampler.sample(GRID, seed=group_seed(5, 1), step=2, samples=[7, 8])
    assert torch.equal(drawn.target_index, alone.target_index)
