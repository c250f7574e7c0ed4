"""An independent count: torch watches a step and adds up its matrix products."""

import math

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import worldmodel_kernels.linear  # noqa: F401 - brings the operator


def _convolution_back(grad_out_shape, _input_shape, w_shape, *rest, **_):
    """As many as forward, for each of what a gradient goes to: pixels, and weights.

    Torch's own count of a depthwise one is as if all channels met.
    """
    *_, output_mask = rest
    return 2 * math.prod(grad_out_shape) * math.prod(w_shape[1:]) * sum(output_mask[:2])


def _linear(_tokens_shape, w_shape, _bias_shape, *, out_shape):
    return 2 * math.prod(out_shape) * w_shape[1]


UNKNOWN_TO_TORCH = {
    torch.ops.aten.convolution_backward: _convolution_back,
    # what stands in for large products where MKL is slow
    torch.ops.worldmodel_kernels.onednn_linear: _linear,
}


def flops_of_a_step(objective, content):
    """Operations of the loss of a micro-batch and its backward pass."""
    counter = FlopCounterMode(display=False, custom_mapping=UNKNOWN_TO_TORCH)
    # plain products, which the counter knows in both directions
    with sdpa_kernel(SDPBackend.MATH), counter:
        objective.training_losses(content).total.backward()
    return counter.get_total_flops()
