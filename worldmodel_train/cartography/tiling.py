"""Frames laid out as one picture."""

from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import pad

from worldmodel_train.types import TokenGrid

GAP = 3  # pixels between tiles
_GAP_COLOR = 255


def tile(frames: UInt8[Tensor, "rows columns h w c"]) -> UInt8[Tensor, "height width c"]:
    """One picture of all frames, row by row, with a white gap between and around them."""
    border = (0, 0, 0, GAP, 0, GAP)
    spaced = pad(frames, border, value=_GAP_COLOR)
    sheet = rearrange(spaced, "rows columns h w c -> (rows h) (columns w) c")
    return pad(sheet, (0, 0, GAP, 0, GAP, 0), value=_GAP_COLOR)


def tubelet_frames(
    clips: UInt8[Tensor, "b t h w c"], grid: TokenGrid
) -> UInt8[Tensor, "b frames h w c"]:
    """The first frame of each tubelet."""
    num_frames = clips.shape[1]
    assert num_frames % grid.frames == 0, f"{num_frames} frames in {grid.frames} tubelets"
    return clips[:, :: num_frames // grid.frames]


def enlarge(
    tokens: UInt8[Tensor, "b t h w c"], height: int, width: int
) -> UInt8[Tensor, "b t height width c"]:
    """Each token's value repeated over its patch, so that tokens lie over the frame's pixels."""
    rows, columns = tokens.shape[2:4]
    assert height % rows == 0, f"{height} pixels are not whole patches of {rows} rows"
    assert width % columns == 0, f"{width} pixels are not whole patches of {columns} columns"
    tall = tokens.repeat_interleave(height // rows, dim=2)
    return tall.repeat_interleave(width // columns, dim=3)
