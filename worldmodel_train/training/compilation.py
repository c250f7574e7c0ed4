"""Compiles the repeated parts of networks by themselves, which is quick; the rest stays eager."""

from typing import Protocol, runtime_checkable

from torch import nn
from torch._dynamo import config as dynamo

# of one function: a stack has a graph for its first sizes and one for all later ones, with and
# without gradients, and encoder and predictor are different widths
_GRAPHS = 32


@runtime_checkable
class HasRegions(Protocol):
    """A module with parts that are worth a graph of their own."""

    def compile_regions(self) -> None:
        """Compiles these parts in place, so that names in the state stay."""
        ...


def compile_regions(objective: nn.Module) -> None:
    """Compiles the regions of all modules of `objective`; a graph is made at its first use.

    Raises:
        ValueError: No module has any.
    """
    modules = [module for module in objective.modules() if isinstance(module, HasRegions)]
    if not modules:
        raise ValueError(
            f"train.compile=true, but {type(objective).__name__} has no module that offers regions "
            "to compile; use false"
        )
    dynamo.recompile_limit = max(dynamo.recompile_limit, _GRAPHS)
    dynamo.optimize_ddp = False  # it would cut a block's graph into DDP's buckets
    for module in modules:
        module.compile_regions()
