"""Which features of a sparse autoencoder may speak: TopK, its batch-wise form, JumpReLU."""

from typing import Annotated, Any, Literal, Protocol

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig


class Sparsity(Protocol):
    """What an autoencoder needs of it; implementations are `nn.Module`s."""

    def __call__(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Activations, none below zero and most of them zero."""
        ...

    def penalty(self, before: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
        """What the loss adds so that few features speak."""
        ...


class TopK(StrictConfig):
    """The `k` largest features of each token, where they are above zero (arXiv 2406.04093)."""

    name: Literal["topk"] = "topk"
    k: int = Field(ge=1)
    """Features of a token."""

    def build(self, features: int) -> nn.Module:
        """The activation, which has no weights."""
        require_fewer(self.k, features)
        return _TopK(self.k)


class BatchTopK(StrictConfig):
    """The largest features of a batch, `k` a token on average (arXiv 2412.06410)."""

    name: Literal["batch_topk"] = "batch_topk"
    k: int = Field(ge=1)
    """Features of a token, on average."""

    def build(self, features: int) -> nn.Module:
        """The activation; a token by itself is measured by the threshold that batches had."""
        require_fewer(self.k, features)
        return _BatchTopK(self.k)


class JumpReLU(StrictConfig):
    """Features above a threshold that each learns for itself (arXiv 2407.14435)."""

    name: Literal["jump_relu"] = "jump_relu"
    penalty: float = Field(gt=0)
    """What a feature that speaks costs, beside the share of variance that is unexplained."""
    threshold: float = Field(gt=0, default=0.001)
    """Of all features at the start."""
    bandwidth: float = Field(gt=0, default=0.001)
    """How near to its threshold a feature must be to move it."""

    def build(self, features: int) -> nn.Module:
        """The activation, whose thresholds are trained."""
        return _JumpReLU(self, features)


AnySparsity = Annotated[TopK | BatchTopK | JumpReLU, Field(discriminator="name")]


def require_fewer(k: int, features: int) -> None:
    """Raises ValueError where more are to speak than there are."""
    if k > features:
        raise ValueError(f"method.sparsity.k={k} of method.features={features}; use fewer")


def top(before: Float[Tensor, "n f"], k: int) -> Float[Tensor, "n f"]:
    """The `k` largest of each row where they are above zero, and zeros."""
    values, index = before.topk(k, dim=-1)
    return torch.zeros_like(before).scatter(-1, index, values.relu())


class _TopK(nn.Module):
    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        return top(before, self.k)

    def penalty(self, before: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
        """None: their number is fixed."""
        return before.new_zeros(())


class _BatchTopK(nn.Module):
    threshold: Tensor

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.register_buffer("threshold", torch.zeros(()))

    def forward(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        active = before.relu()
        if self.training:
            least = active.detach().flatten().topk(self.k * len(before)).values[-1]
            self.threshold.lerp_(least.float(), 0.01)
        else:
            least = self.threshold
        return active * (active >= least)

    def penalty(self, before: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
        """None: their number is fixed."""
        return before.new_zeros(())


class _JumpReLU(nn.Module):
    def __init__(self, config: JumpReLU, features: int) -> None:
        super().__init__()
        self.config = config
        self.log_threshold = nn.Parameter(torch.full((features,), config.threshold).log())

    def forward(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        before, threshold = before.float(), self.log_threshold.exp()
        return _gate(before, threshold, self.config.bandwidth) * before

    def penalty(self, before: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
        """The number of features of a token, whose gradient is that of the thresholds alone."""
        before, threshold = before.detach().float(), self.log_threshold.exp()
        speak = _gate(before, threshold, self.config.bandwidth)
        return self.config.penalty * speak.sum(-1).mean()


class _Gate(torch.autograd.Function):
    """1 above the threshold; the step's gradient is taken over a box of width `bandwidth`."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own
        before: Float[Tensor, "n f"],
        threshold: Float[Tensor, " f"],
        bandwidth: float,
    ) -> Float[Tensor, "n f"]:
        ctx.save_for_backward(before, threshold)
        ctx.bandwidth = bandwidth
        return (before > threshold).to(before.dtype)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch's own
        *gradients: Tensor,
    ) -> tuple[None, Float[Tensor, " f"], None]:
        before, threshold = ctx.saved_tensors
        near = (before - threshold).abs() < ctx.bandwidth / 2
        return None, -(gradients[0] * near).sum(0) / ctx.bandwidth, None


def _gate(
    before: Float[Tensor, "n f"], threshold: Float[Tensor, " f"], bandwidth: float
) -> Float[Tensor, "n f"]:
    gate = _Gate.apply(before, threshold, bandwidth)
    assert isinstance(gate, Tensor)
    return gate
