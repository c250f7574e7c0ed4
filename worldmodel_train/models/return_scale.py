"""How far returns lie apart, so that a loss in their units can be had without units."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn


class ReturnScale(nn.Module):
    """The running distance between the 5th and the 95th percentile, at least 1."""

    value: Tensor

    def __init__(self, *, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.ones(()))

    @torch.no_grad()
    def update(self, returns: Float[Tensor, "*b"]) -> None:
        """Moves towards that of these returns; ranks move alike, towards the mean of theirs."""
        flat = returns.float().flatten()
        low, high = flat.quantile(torch.tensor([0.05, 0.95], device=flat.device))
        distance = (high - low).clamp(min=1.0)
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(distance)
            distance /= dist.get_world_size()
        self.value.lerp_(distance, 1 - self.momentum)
