"""Sets what the backward pass computes again, in every module that can."""

from typing import Protocol, runtime_checkable

from torch import nn

from worldmodel_train.models.checkpointing import CheckpointingPlan


@runtime_checkable
class Checkpointable(Protocol):
    """A module that can drop activations and compute them again."""

    def set_activation_checkpointing(self, plan: CheckpointingPlan) -> None:
        """Keeps all activations, the cheap ones to keep, or none."""
        ...


def set_activation_checkpointing(objective: nn.Module, plan: CheckpointingPlan) -> None:
    """Passes `plan` to the modules of `objective` that offer it.

    Raises:
        ValueError: A plan other than none, and no module offers it.
    """
    modules = [module for module in objective.modules() if isinstance(module, Checkpointable)]
    if plan != "none" and not modules:
        raise ValueError(
            f"train.activation_checkpointing={plan}, but {type(objective).__name__} has no "
            f"module that offers it; use none"
        )
    for module in modules:
        module.set_activation_checkpointing(plan)
