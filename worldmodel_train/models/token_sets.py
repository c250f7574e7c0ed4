"""Sets of tokens that go through a network together.

Linear maps and norms see all tokens of all sets as one flat list, so that each weight is read, and
gathered from other ranks, once. Attention sees each set by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel_train.models.rope import Rotation


@dataclass(frozen=True)
class TokenSet:
    """Tokens of each clip that see each other, by id; one row serves all clips.

    `valid` is False where an id is padding, None where all count.
    """

    index: Int[Tensor, "#b k"]
    valid: Bool[Tensor, "b k"] | None = None


# Not a tuple: sharding would look into it and round the rotation to the networks' precision.
@dataclass(frozen=True)
class AttentionGroup:
    """A stretch of the flat list: `rows` sequences of `tokens` tokens each."""

    rows: int
    tokens: int
    rotation: Rotation | None = None
    """None where positions do not act inside attention."""
    valid: Bool[Tensor, "rows tokens"] | None = None
    """Which tokens are seen by others of their sequence; None means all."""
    one_length: bool = False
    """Whether sequences are as long in every step, so that a kernel may plan for this length."""
    frame_tokens: int | None = None
    """Tokens of a frame, where a token sees those of its own frame and of earlier ones alone."""

    def __post_init__(self) -> None:
        assert self.frame_tokens is None or self.valid is None, "frames are whole"


def lay_flat(sets: Sequence[Float[Tensor, "_ _ d"]]) -> Float[Tensor, "n d"]:
    """All tokens of sets `b k d` of different k, one after the other."""
    flat = [tokens.flatten(0, 1) for tokens in sets]
    return flat[0] if len(flat) == 1 else torch.cat(flat)


def take_apart(
    flat: Float[Tensor, "n d"], shapes: Sequence[tuple[int, int]]
) -> list[Float[Tensor, "_ _ d"]]:
    """The sets `b k d` that were laid flat, from their b and k; views, not copies."""
    parts = flat.split([rows * tokens for rows, tokens in shapes])
    return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]
