"""An independent count: torch watches a step and adds up its matrix products."""

import math

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

_BACK = torch.ops.aten.convolution_backward


def _convolution_back(grad_out_shape, _input_shape, w_shape, *rest, out_shape, **_):
    """As many as forward, for each of what a gradient goes to: pixels, and weights.

    Torch's own count of a depthwise one is as if all channels met.
    """
    *_, output_mask = rest
    return 2 * math.prod(grad_out_shape) * math.prod(w_shape[1:]) * sum(output_mask[:2])


def flops_of_a_step(objective, content):
    """Operations of the loss of a micro-batch and its backward pass."""
    # plain products, which the counter knows in both directions
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False, custom_mapping={_BACK: _convolution_back}) as counter,
    ):
        objective.training_losses(content).total.backward()
    return counter.get_total_flops()
