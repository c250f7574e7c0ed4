import torch

from worldmodel_train.cartography.mask_overlay import (
    TARGET_COLORS,
    mask_frames,
    mask_overlay,
    token_roles,
)
from worldmodel_train.cartography.tiling import GAP
from worldmodel_train.types import Masks, TokenGrid

GRID = TokenGrid(2, 2, 2)


def _clips():
    return torch.full((1, 4, 8, 8, 3), 200, dtype=torch.uint8)


def test_context_is_untouched_targets_are_tinted_and_the_rest_is_dark():
    masks = Masks(context_index=torch.tensor([[0, 1]]), target_index=torch.tensor([[[2], [7]]]))
    frames = mask_frames(_clips(), masks, GRID)
    assert frames.shape == (1, 2, 8, 8, 3)
    assert frames.dtype == torch.uint8
    assert (frames[0, 0, :4] == 200).all()
    for pixel, color in (
        (frames[0, 0, 6, 1], TARGET_COLORS[0]),
        (frames[0, 1, 6, 6], TARGET_COLORS[1]),
    ):
        tint = pixel.float() - 0.35 * 200
        assert torch.allclose(tint, 0.65 * torch.tensor(color).float(), atol=0.6)
    assert (frames[0, 1, 0, 0] == 50).all()


def test_padding_ids_are_not_drawn():
    masks = Masks(
        context_index=torch.tensor([[1, 0]]),
        target_index=torch.tensor([[[5, 0]]]),
        context_valid=torch.tensor([[True, False]]),
        target_valid=torch.tensor([[[True, False]]]),
    )
    assert token_roles(masks, GRID).tolist() == [[0, 1, 0, 0, 0, 2, 0, 0]]


def test_the_overlay_is_one_picture_with_a_row_for_each_clip():
    masks = Masks(context_index=torch.tensor([[0], [1]]), target_index=torch.tensor([[[2]], [[3]]]))
    picture = mask_overlay(_clips().repeat(2, 1, 1, 1, 1), masks, GRID)
    assert picture.shape == (2 * 8 + 3 * GAP, 2 * 8 + 3 * GAP, 3)
    assert picture.dtype == torch.uint8
    assert (picture[0] == 255).all()


def test_more_target_sets_than_colours_still_draw():
    index = torch.arange(1, 7).reshape(1, 6, 1)
    masks = Masks(context_index=torch.tensor([[0]]), target_index=index)
    frames = mask_frames(_clips(), masks, GRID)
    assert (frames[0, 0, 0, 6] == frames[0, 1, 0, 6]).all()  # the first and the fifth set
