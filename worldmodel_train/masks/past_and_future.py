"""The first tokens of a clip, and all others: what was, and what comes of it."""

import torch

from worldmodel_train.types import Masks, TokenGrid


def past_and_future(grid: TokenGrid, num_seen: int, num_clips: int) -> Masks:
    """All tokens of the first `num_seen` tubelets as context, all others as one target set."""
    return _split(grid, num_seen * grid.height * grid.width, num_clips)


def halves(grid: TokenGrid, num_clips: int) -> Masks:
    """The first half of the tubelets as context, the others as one target set.

    Of an image, which has one tubelet, it is the upper half of its rows. Rounded down.

    Raises:
        ValueError: There is but one token to a column, so nothing to halve.
    """
    rows = grid.height if grid.frames == 1 else grid.frames
    if rows < 2:
        raise ValueError(f"a clip of {grid} tokens has no two halves; use longer or larger clips")
    return _split(grid, rows // 2 * (grid.num_tokens // rows), num_clips)


def whole_twice(grid: TokenGrid, num_clips: int) -> Masks:
    """All tokens as context, and all of them again as one target set."""
    tokens = torch.arange(grid.num_tokens).expand(num_clips, -1).contiguous()
    return Masks(context_index=tokens, target_index=tokens[:, None])


def _split(grid: TokenGrid, border: int, num_clips: int) -> Masks:
    tokens = torch.arange(grid.num_tokens).expand(num_clips, -1)
    return Masks(
        context_index=tokens[:, :border].contiguous(),
        target_index=tokens[:, None, border:].contiguous(),
    )
