"""The Triton kernels as one operator of torch: for autograd, and opaque to torch.compile."""

from typing import Any

import torch
from torch import Tensor


# The schema of an operator is flat.
@torch.library.custom_op("worldmodel_kernels::tubelet_mask", mutates_args=())
def embed(  # noqa: PLR0913
    clips: Tensor,
    index: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    std: Tensor,
    frames: int,
    patch: int,
) -> Tensor:
    """Tokens `b k d` in the dtype of `weight`."""
    from worldmodel_kernels.tubelet_mask.triton_impl import Tubelets, embed_tubelets

    return embed_tubelets(Tubelets(clips, index, mean, std, frames, patch), weight, bias)


@torch.library.custom_op("worldmodel_kernels::tubelet_mask_weight_gradient", mutates_args=())
def weight_gradient(  # noqa: PLR0913
    gradient: Tensor,
    clips: Tensor,
    index: Tensor,
    mean: Tensor,
    std: Tensor,
    frames: int,
    patch: int,
) -> Tensor:
    """The gradient `d (c p)` of weights, in the dtype of the tokens' gradient `b k d`."""
    from worldmodel_kernels.tubelet_mask.triton_impl import Tubelets, correlate_tubelets

    return correlate_tubelets(Tubelets(clips, index, mean, std, frames, patch), gradient)


@embed.register_fake
def _(clips: Tensor, index: Tensor, weight: Tensor, *_rest: Tensor | int) -> Tensor:
    return weight.new_empty(clips.shape[0], index.shape[1], weight.shape[0])


@weight_gradient.register_fake
def _(
    gradient: Tensor, clips: Tensor, index: Tensor, mean: Tensor, std: Tensor, *size: int
) -> Tensor:
    frames, patch = size
    return gradient.new_empty(gradient.shape[-1], clips.shape[-1] * frames * patch**2)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
    clips, index, _, _, mean, std, *ctx.size = inputs
    ctx.save_for_backward(clips, index, mean, std)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    _, _, needs_weight, needs_bias, *_rest = ctx.needs_input_grad
    weight = weight_gradient(gradient, *ctx.saved_tensors, *ctx.size) if needs_weight else None
    bias = None
    if needs_bias:
        bias = gradient.sum((0, 1), dtype=torch.float32).to(gradient.dtype)
    return None, None, weight, bias, None, None, None, None


embed.register_autograd(_backward, setup_context=_save)
