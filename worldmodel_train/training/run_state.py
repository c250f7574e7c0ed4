"""A run's state taken out of the model and put back, strictly.

A sharded strategy brings its own `collect` and `restore`: there weights and moments lie in pieces.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from worldmodel_train.training.checkpoint_files import CheckpointError, RunState
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
    own = module.state_dict()
    problems = [f"missing {name}" for name in own if name not in weights]
    problems += [f"extra {name}" for name in weights if name not in own]
    problems += [
        f"{name} is {tuple(weights[name].shape)}, the model's {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        raise CheckpointError("the weights do not fit the model:\n  " + "\n  ".join(problems))
    module.load_state_dict(weights)


@torch.no_grad()
def all_finite(module: nn.Module) -> bool:
    """Whether every parameter is finite; waits for the device once."""
    flags = [parameter.isfinite().all() for parameter in module.parameters()]
    return bool(torch.stack(flags).all())
