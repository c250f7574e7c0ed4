"""A run's state taken out of the model and put back, strictly.

A sharded strategy brings its own `collect` and `restore`: there weights and moments lie in pieces.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from worldmodel_train.models.strict_state import differences, refuse_differences
from worldmodel_train.training.checkpoint_files import RunState
from worldmodel_train.training.module import TrainingModule


def collect(module: TrainingModule, *, global_batch: int, watch: dict[str, object]) -> RunState:
    """The state after the last finished optimizer step."""
    return RunState(
        step=module.step,
        samples_seen=module.step * global_batch,
        weights=module.objective.state_dict(),
        optimizer=module.optimizer.state_dict(),
        watch=watch,
    )


def restore(module: TrainingModule, state: RunState) -> None:
    """Puts everything of `state` back; the optimizer's part when Lightning builds it."""
    load_weights(module.objective, state.weights)
    module.optimizer_state = state.optimizer
    module.step = state.step


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads `weights` into `module`.

    Raises:
        CheckpointError: The names or shapes differ; lists what is missing, extra and mis-shaped.
    """
    own, found = _shapes(module.state_dict()), _shapes(weights)
    refuse_differences("the checkpoint", differences(own, found))
    module.load_state_dict(weights)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@torch.no_grad()
def all_finite(module: nn.Module) -> bool:
    """Whether every parameter is finite; waits for the device once."""
    flags = [parameter.isfinite().all() for parameter in module.parameters()]
    return bool(torch.stack(flags).all())
