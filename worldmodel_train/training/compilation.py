"""Compiles the repeated parts of networks by themselves, which is quick; the rest stays eager."""

import logging
import os
import shutil
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import nn
from torch._dynamo import config as dynamo
from torch.utils._triton import has_triton

from worldmodel_train.training.config import DeepSpeedConfig
from worldmodel_train.training.strategies.runtime import Runtime

logger = logging.getLogger(__name__)

# of one function: a stack has a graph for its first sizes and one for all later ones, with and
# without gradients, and encoder and predictor are different widths
_GRAPHS = 32


@runtime_checkable
class HasRegions(Protocol):
    """A module with parts that are worth a graph of their own."""

    def compile_regions(self) -> None:
        """Compiles these parts in place, so that names in the state stay."""
        ...


def choose_compilation(
    asked: Literal["auto"] | bool,  # noqa: FBT001 - the recipe's value
    objective: nn.Module,
    runtime: Runtime,
) -> bool:
    """Whether regions are compiled: as the recipe says, or for `auto` where nothing is against."""
    if asked != "auto":
        return asked
    obstacle = _obstacle(objective, runtime)
    if runtime.processes.rank == 0:
        choice = "compiles the blocks" if obstacle is None else f"does not compile: {obstacle}"
        logger.info("train.compile=auto %s", choice)
    return obstacle is None


def _obstacle(objective: nn.Module, runtime: Runtime) -> str | None:
    """Why nothing is compiled by default; None where that is tested and pays."""
    if runtime.accelerator == "cpu":
        return "compiling takes minutes on a CPU"
    if torch.are_deterministic_algorithms_enabled():
        return "train.deterministic; compiled code may round by the sizes that a start met first"
    if isinstance(runtime.chosen, DeepSpeedConfig) and runtime.chosen.zero_stage == 3:
        return "ZeRO 3 gathers weights inside of what would be compiled"
    if not any(isinstance(module, HasRegions) for module in objective.modules()):
        return f"{type(objective).__name__} has no module that offers regions to compile"
    if not has_triton():
        return "this GPU or this torch has no Triton"
    if not any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))):
        return "Triton needs a C compiler and there is none; install gcc"
    return None


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
