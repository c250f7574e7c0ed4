"""oneDNN's fp32 product as one operator of torch: for autograd, checkpointing and torch.compile."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@torch.library.custom_op("worldmodel_kernels::onednn_linear", mutates_args=(), device_types="cpu")
def onednn_linear(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`tokens @ weight.T + bias`, contiguous; all may be views of any stride."""
    return functional.linear(tokens.to_mkldnn(), weight, bias).to_dense()


@onednn_linear.register_fake
def _(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return tokens.new_empty(len(tokens), len(weight))


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:  # noqa: ANN401
    tokens, weight, _ = inputs
    ctx.save_for_backward(tokens, weight)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # noqa: ANN401
    tokens, weight = ctx.saved_tensors
    for_tokens, for_weight, for_bias = ctx.needs_input_grad
    return (
        onednn_linear(gradient, weight.t(), None) if for_tokens else None,
        onednn_linear(gradient.t(), tokens.t(), None) if for_weight else None,
        gradient.sum(0) if for_bias else None,
    )


onednn_linear.register_autograd(_backward, setup_context=_save)
