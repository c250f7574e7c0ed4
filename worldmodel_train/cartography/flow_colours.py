"""Flow as colours: where to by hue, how far by strength."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.colors import hsv_to_rgb
from torch import Tensor


def flow_colours(flow: Float[Tensor, "b 2 h w"], *, longest: float) -> UInt8[Tensor, "b h w 3"]:
    """White where nothing moves; of `longest` pixels and more the full colour of the direction.

    To the right is red, and hues turn over yellow downwards.
    """
    x, y = flow.double().cpu().numpy().swapaxes(0, 1)
    hue = np.arctan2(y, x) / (2 * np.pi) % 1
    strength = np.clip(np.hypot(x, y) / longest, 0, 1)
    colours = hsv_to_rgb(np.stack((hue, strength, np.ones_like(hue)), axis=-1))
    return torch.from_numpy((255 * colours).round().astype(np.uint8))
