"""Which tokens the encoder sees and which it must predict, drawn over the frames."""

import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from worldmodel_train.cartography.tiling import enlarge, tile, tubelet_frames
from worldmodel_train.types import Masks, TokenGrid

# one for each target set; magenta first, as next to nothing that is filmed has that colour
TARGET_COLORS = ((222, 30, 160), (86, 180, 233), (240, 228, 66), (0, 158, 115))
_TARGET_OPACITY = 0.65
_UNSEEN_BRIGHTNESS = 0.25

_UNSEEN, _CONTEXT, _FIRST_TARGET = 0, 1, 2


def mask_overlay(
    clips: UInt8[Tensor, "b t h w 3"], masks: Masks, grid: TokenGrid
) -> UInt8[Tensor, "height width 3"]:
    """One picture: a row for each clip, a column for each tubelet, painted by `mask_frames`."""
    return tile(mask_frames(clips, masks, grid))


def mask_frames(
    clips: UInt8[Tensor, "b t h w 3"], masks: Masks, grid: TokenGrid
) -> UInt8[Tensor, "b frames h w 3"]:
    """The first frame of each tubelet: context as it is, targets tinted, the rest darkened.

    Where target sets overlap the last one's colour shows; a target covers context.
    """
    frames = tubelet_frames(clips, grid)
    height, width = frames.shape[2:4]
    roles = rearrange(
        token_roles(masks, grid),
        "b (t h w) -> b t h w 1",
        t=grid.frames, h=grid.height, w=grid.width,
    )  # fmt: skip
    roles = enlarge(roles, height, width).to(clips.device)
    painted = torch.where(roles == _UNSEEN, frames.float() * _UNSEEN_BRIGHTNESS, frames.float())
    for number in range(masks.target_index.shape[1]):
        color = frames.new_tensor(TARGET_COLORS[number % len(TARGET_COLORS)]).float()
        tinted = (1 - _TARGET_OPACITY) * frames + _TARGET_OPACITY * color
        painted = torch.where(roles == _FIRST_TARGET + number, tinted, painted)
    return painted.round().to(torch.uint8)


def token_roles(masks: Masks, grid: TokenGrid) -> UInt8[Tensor, "b n"]:
    """For each token 0 where nobody uses it, 1 for context, 2 + g for a token of target set g."""
    num_clips, num_sets = masks.target_index.shape[:2]
    # padding ids are written to one extra token, which is then dropped
    roles = torch.full((num_clips, grid.num_tokens + 1), _UNSEEN, dtype=torch.uint8)
    context = _drop_padding(masks.context_index, masks.context_valid, grid)
    roles.scatter_(1, context.cpu(), _CONTEXT)
    target = _drop_padding(masks.target_index, masks.target_valid, grid)
    for number in range(num_sets):
        roles.scatter_(1, target[:, number].cpu(), _FIRST_TARGET + number)
    return roles[:, :-1]


def _drop_padding(index: Tensor, valid: Tensor | None, grid: TokenGrid) -> Tensor:
    """The ids, with padding sent to the id past the last token."""
    return index if valid is None else index.masked_fill(~valid, grid.num_tokens)
