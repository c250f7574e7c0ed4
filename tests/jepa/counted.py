"""An independent count: torch watches a step and adds up its matrix products."""

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def flops_of_a_step(objective, content):
    """Operations of the loss of a micro-batch and its backward pass."""
    # plain products, which the counter knows in both directions
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective.training_losses(content).total.backward()
    return counter.get_total_flops()
