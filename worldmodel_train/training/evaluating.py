"""Evaluation mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(objective: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode inside, and in its own mode again after."""
    modes = [(module, module.training) for module in objective.modules()]
    objective.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
