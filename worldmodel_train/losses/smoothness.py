"""How rough a flow is where the picture is not."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def edge_aware_smoothness(
    flow: Float[Tensor, "b 2 h w"],
    picture: Float[Tensor, "b c h w"],
    *,
    order: Literal[1, 2],
    edges: float,
) -> Float[Tensor, ""]:
    """The mean absolute slope of a flow (order 2: how it changes), less at edges, in fp32.

    A slope counts exp(-edges x the mean absolute slope of the picture there, which is from 0 to 1),
    rows and columns apart, as in UFlow (arXiv 2006.04902).
    """
    with torch.autocast(flow.device.type, enabled=False):
        means = []
        for axis in (2, 3):
            slope = _slope(picture.float(), axis).abs().mean(dim=1, keepdim=True)
            rough = _slope(flow.float(), axis)
            if order == 2:
                rough = _slope(rough, axis)
                # the slope of the picture between the two slopes that are compared
                length = slope.shape[axis] - 1
                slope = (slope.narrow(axis, 0, length) + slope.narrow(axis, 1, length)) / 2
            means.append((torch.exp(-edges * slope) * rough.abs()).mean())
        return torch.stack(means).mean()


def _slope(values: Float[Tensor, "b c h w"], axis: int) -> Float[Tensor, "b c _ _"]:
    return values.diff(dim=axis)
