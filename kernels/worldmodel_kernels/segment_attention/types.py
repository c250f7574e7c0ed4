"""Which rows of one flat list attend to which."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Stretches of rows that do not overlap; a token sees the tokens of its own.

    With `frame` it sees those up to the end of its own frame, where frames of that many tokens are
    counted from the segment's first.
    """

    count: int
    longest: int  # tokens
    frame: int = 0  # tokens; 0: one frame
    starts: Tensor | None = None  # int [count], contiguous; None: all `longest`, end to end
    lengths: Tensor | None = None  # int [count], contiguous
