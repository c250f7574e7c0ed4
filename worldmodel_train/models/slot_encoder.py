"""Films to slots, frame by frame: what a slot holds follows a thing through time.

As SAVi does it (Kipf et al. 2022, arXiv 2111.12594), without any hint of what to look for: slots of
later frames begin with what a transformer of one layer expects of those of the frame before. Two
things are ours, for two CPU cores: slots of the first frame begin at features of it that are unlike
each other, not at learned or random ones; and where a slot looks (the centre of what it has won) is
told to the decoder, as in invariant slot attention (Biza et al. 2023, arXiv 2302.04973).
"""

from itertools import pairwise
from typing import Annotated, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.blocks import Blocks, BlocksConfig, init_linear
from worldmodel_train.models.flops import Flops, blocks_forward, once_each, total
from worldmodel_train.models.layer_norm import LayerNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.slot_attention import (
    SlotAttention,
    pixel_places,
    slot_attention_forward,
    unlike_each_other,
)
from worldmodel_train.models.token_sets import AttentionGroup

_COLOURS = 3
_KERNEL = 5
_CONTRAST = 4.0  # pixels from -2 to 2
_FAINT = 0.05  # how much features say of their place at first


class SlotEncoderConfig(StrictConfig):
    """How many slots, and what looks at frames for them."""

    slots: int = Field(default=5, ge=2)
    """Of each frame: one for each thing there may be, and one for what is behind them."""
    width: int = Field(default=64, gt=0)
    """Numbers in a slot."""
    channels: tuple[Annotated[int, Field(gt=0)], ...] = Field(default=(32, 64), min_length=1)
    """Of each convolution, whose kernels are 5 pixels wide."""
    stride: int = Field(default=2, ge=1)
    """Of the first one; the others have 1."""
    iterations: int = Field(default=3, ge=1)
    """Rounds of slot attention in the first frame."""
    later_iterations: int = Field(default=1, ge=1)
    """And in each one after it."""
    heads: int = Field(default=4, gt=0)
    """Attention heads of what says how slots will be in the next frame."""

    @model_validator(mode="after")
    def _heads_fit(self) -> "SlotEncoderConfig":
        _ = self.transition
        return self

    @property
    def transition(self) -> BlocksConfig:
        """From one frame's slots to those expected in the next."""
        return BlocksConfig(width=self.width, depth=1, heads=self.heads, mlp_ratio=2.0)

    def build(self) -> "SlotEncoder":
        """An encoder with weights drawn from torch's global generator."""
        return SlotEncoder(self)


class SlotEncoder(nn.Module):
    """A convolutional network, slot attention, and what slots become from frame to frame."""

    def __init__(self, config: SlotEncoderConfig) -> None:
        super().__init__()
        width, channels = config.width, config.channels[-1]
        self.config = config
        self.width = width
        self.convolutions = nn.Sequential(*_convolutions(config))
        self.places = Linear(2, channels)
        self.colours = Linear(_COLOURS, width)
        self.features = nn.Sequential(
            LayerNorm(channels), Linear(channels, width), nn.ReLU(), Linear(width, width)
        )
        self.attention = SlotAttention(width, 2 * width)
        self.transition = Blocks(config.transition)
        self.transition.apply(init_linear)
        self.centre = Linear(2, width)
        nn.init.normal_(self.colours.weight)  # at first colour tells things apart
        nn.init.normal_(self.places.weight, std=_FAINT)

    def forward(
        self, films: UInt8[Tensor, "b t h w c"]
    ) -> tuple[Float[Tensor, "b t s d"], Float[Tensor, "b t s 2"]]:
        """The slots of each frame, and where they look: from -1 to 1, across, then down.

        Both in fp32; none hangs on a later frame.
        """
        features, at = self._features(films)
        expected = unlike_each_other(features[:, 0], self.config.slots)
        rounds = self.config.iterations
        slots, centres = [], []
        for frame in features.unbind(dim=1):
            held, shares = self.attention(expected, frame, rounds)
            with torch.autocast(shares.device.type, enabled=False):
                centres.append(shares @ at)
            slots.append(held + self.centre(centres[-1].flatten(0, 1)).view(held.shape))
            expected, rounds = self._expected(held), self.config.later_iterations
        return torch.stack(slots, dim=1).float(), torch.stack(centres, dim=1)

    def _features(
        self, films: UInt8[Tensor, "b t h w c"]
    ) -> tuple[Float[Tensor, "b t n d"], Float[Tensor, "n 2"]]:
        """What is seen at each place of each frame, and the places."""
        frames = rearrange(films.float() / 255 - 0.5, "b t h w c -> (b t) c h w") * _CONTRAST
        maps = self.convolutions(frames)
        at = pixel_places(*maps.shape[-2:], device=maps.device)
        colours = functional.adaptive_avg_pool2d(frames, maps.shape[-2:])
        flat = rearrange(maps, "i c h w -> i (h w) c") + self.places(at)
        seen = self.features(flat.flatten(0, 1))
        seen = seen + self.colours(rearrange(colours, "i c h w -> (i h w) c"))
        return seen.view(*films.shape[:2], len(at), self.width), at

    def _expected(self, slots: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """Those of the next frame, before it is seen."""
        group = AttentionGroup(rows=len(slots), tokens=slots.shape[1], one_length=True)
        return self.transition(slots.flatten(0, 1), [group]).unflatten(0, slots.shape[:2])


class SlotFlops(NamedTuple):
    """Operations of an encoder of slots on a film, but for what all films of a batch share."""

    forward: Flops
    data: Flops
    """Those of maps of pixels and places, to which no gradient goes back."""
    unused: Flops
    """Those of the slots expected after the last frame, from which none comes back."""

    @property
    def step(self) -> Flops:
        """Forward and backward."""
        missing = self.data.plus(self.unused.times(2))
        return once_each(self.forward).plus(missing.times(-1))


def slot_flops(config: SlotEncoderConfig, frames: int, height: int, width: int) -> SlotFlops:
    """Of a film of such frames."""
    places = (-(-height // config.stride)) * (-(-width // config.stride))
    seen, *deeper = (
        Flops(linear=2.0 * places * _KERNEL**2 * before * after)
        for before, after in pairwise((_COLOURS, *config.channels))
    )
    features = head_forward((config.channels[-1], config.width, config.width)).times(places)
    colours = head_forward((_COLOURS, config.width)).times(places)
    where = Flops(linear=2.0 * config.slots * places * 2)
    centre = head_forward((2, config.width)).times(config.slots)
    expected = blocks_forward(config.transition, config.slots)
    rounds = config.iterations + (frames - 1) * config.later_iterations
    of_frame = total((seen, *deeper, features, colours, where, centre, expected))
    attention = slot_attention_forward(
        config.width, slots=config.slots, features=places, frames=frames, rounds=rounds
    )
    return SlotFlops(
        forward=of_frame.times(frames).plus(attention),
        data=total((seen, colours, where)).times(frames),
        unused=expected,
    )


def _convolutions(config: SlotEncoderConfig) -> list[nn.Module]:
    layers: list[nn.Module] = []
    strides = (config.stride, *[1] * (len(config.channels) - 1))
    sizes = pairwise((_COLOURS, *config.channels))
    for (before, after), stride in zip(sizes, strides, strict=True):
        layers += [nn.Conv2d(before, after, _KERNEL, stride, _KERNEL // 2), nn.ReLU()]
    return layers
