"""Slots to pixels: each slot paints every pixel, and says how sure it is to be what is seen there.

The spatial broadcast decoder of MONet and slot attention (Watters et al. 2019, arXiv 1901.07017),
with an MLP for each pixel instead of convolutions: so only some of the pixels can be painted.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from worldmodel_train.models.flops import Flops, once_each
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.slot_attention import pixel_places

_OCTAVES = 4  # of sines that tell places apart
_PLACE = 2 + 4 * _OCTAVES
_COLOURS = 3
_SHARPER = 2.0  # a half of the picture is the unit of places


def slot_decoder_step(width: int, hidden: int, *, slots: int, pixels: int) -> Flops:
    """Of so many pixels that each slot paints, forward and backward."""
    painted = head_forward((_PLACE, hidden)).plus(
        head_forward((hidden, hidden, hidden, _COLOURS + 1))
    )
    forward = head_forward((width, hidden)).plus(painted.times(pixels))
    return once_each(forward.times(slots))


class SlotDecoder(nn.Module):
    """An MLP of a slot and a place to a colour and a weight, which is shared out among slots."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.of_slot = Linear(width, hidden)
        self.of_place = Linear(_PLACE, hidden)
        self.paint = nn.Sequential(
            nn.ReLU(),
            Linear(hidden, hidden),
            nn.ReLU(),
            Linear(hidden, hidden),
            nn.ReLU(),
            Linear(hidden, _COLOURS + 1),
        )

    def forward(
        self,
        slots: Float[Tensor, "b s d"],
        centres: Float[Tensor, "b s 2"],
        pixels: Int[Tensor, "p"],
        size: tuple[int, int],
    ) -> tuple[Float[Tensor, "b s p 3"], Float[Tensor, "b s p"]]:
        """Each slot's colours, from 0 to 1, and its shares, of these pixels, in fp32.

        Pixels of pictures of such a height and width count row by row; shares of a pixel add up to
        1. A slot is told where a pixel is as seen from its centre.
        """
        places = pixel_places(*size, device=slots.device)[pixels]
        seen_from = _SHARPER * (places - rearrange(centres, "b s two -> (b s) 1 two"))
        of_place = self.of_place(_waves(seen_from.flatten(0, 1)))
        hidden = rearrange(self.of_slot(slots.flatten(0, 1)), "i h -> i 1 h")
        hidden = hidden + of_place.unflatten(0, seen_from.shape[:2])
        painted = self.paint(hidden.flatten(0, 1)).float()
        painted = painted.view(*slots.shape[:2], len(pixels), _COLOURS + 1)
        return painted[..., :_COLOURS], painted[..., _COLOURS].softmax(dim=1)


def _waves(places: Float[Tensor, "p 2"]) -> Float[Tensor, "p _"]:
    """Places, and sines and cosines of them, each twice as fast as the one before."""
    angles = [places * (math.pi / 2 * 2**octave) for octave in range(_OCTAVES)]
    return torch.cat([places, *map(torch.sin, angles), *map(torch.cos, angles)], dim=1)
