"""Pictures and features moved by a flow."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def warp(
    second: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b c h w"]:
    """What is seen in `second` where `flow` leads, in fp32: the first, as far as it is still there.

    Flow is in pixels, to the right and downwards. Between pixels it is bilinear; beyond the border
    is the nearest pixel.
    """
    with torch.autocast(second.device.type, enabled=False):
        height, width = flow.shape[2:]
        x, y = _places(flow).unbind(dim=1)
        # grid_sample counts from -1 to 1, from border to border
        places = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
        return functional.grid_sample(
            second.float(), places, mode="bilinear", padding_mode="border", align_corners=False
        )


def lands_inside(flow: Float[Tensor, "b 2 h w"]) -> Bool[Tensor, "b h w"]:
    """Whether a pixel is still in the picture."""
    x, y = _places(flow).unbind(dim=1)
    height, width = flow.shape[2:]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def is_seen_in_both(
    flow: Float[Tensor, "b 2 h w"], back: Float[Tensor, "b 2 h w"]
) -> Bool[Tensor, "b h w"]:
    """Whether what leads back from where a pixel lands leads to it: nothing has covered it.

    After Sundaram et al. (2010), as in UnFlow (arXiv 1711.07837): the squared gap may be .01 of
    both squared flows, and half a pixel.
    """
    returned = warp(back, flow)
    gap = (flow + returned).square().sum(dim=1)
    length = flow.square().sum(dim=1) + returned.square().sum(dim=1)
    return lands_inside(flow) & (gap < 0.01 * length + 0.5)


def finer(flow: Float[Tensor, "b 2 h w"], height: int, width: int) -> Float[Tensor, "b 2 _ _"]:
    """The same flow in pixels of a larger picture, in fp32."""
    grown = functional.interpolate(
        flow.float(), size=(height, width), mode="bilinear", align_corners=False
    )
    x, y = grown.unbind(dim=1)
    return torch.stack((x * (width / flow.shape[3]), y * (height / flow.shape[2])), dim=1)


def _places(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 2 h w"]:
    """The x and y that pixels land at; pixels are at whole numbers."""
    height, width = flow.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device),
        torch.arange(width, device=flow.device),
        indexing="ij",
    )
    return flow.float() + torch.stack((x, y))
