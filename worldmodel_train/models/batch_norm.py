"""Batch norm in fp32, whatever precision its weights were gathered in."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm1d):
    """As torch's, but its running statistics, which stay in fp32, may meet weights in bf16.

    Each rank takes mean and variance of its own micro-batch.
    """

    def forward(self, input: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """In the input's precision."""
        assert self.momentum is not None, "statistics are exponential means"
        assert self.num_batches_tracked is not None, "they are kept"
        if self.training:
            self.num_batches_tracked.add_(1)
        with torch.autocast(input.device.type, enabled=False):
            normed = functional.batch_norm(
                input.float(),
                self.running_mean,
                self.running_var,
                self.weight.float() if self.affine else None,
                self.bias.float() if self.affine else None,
                training=self.training,
                momentum=self.momentum,
                eps=self.eps,
            )
        return normed.to(input.dtype)
