"""How many tokens a clip becomes."""

from worldmodel_train.data.config import ClipConfig
from worldmodel_train.types import TokenGrid


def token_grid(clip: ClipConfig, *, size: int, patch: int, tubelet: int) -> TokenGrid:
    """Tokens of a clip of `size` x `size` pictures; an image, a clip of one, needs tubelet 1."""
    if size % patch:
        raise ValueError(
            f"data.augment.size={size} is not a multiple of patch={patch}; "
            f"use {max(patch, size - size % patch)}"
        )
    if clip.frames % tubelet:
        raise ValueError(
            f"clip.frames={clip.frames} is not a multiple of tubelet={tubelet}; "
            f"use {max(tubelet, clip.frames - clip.frames % tubelet)}"
        )
    return TokenGrid(clip.frames // tubelet, size // patch, size // patch)
