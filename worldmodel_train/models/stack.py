"""Blocks one after the other: what is recomputed, and what is compiled, is chosen for each."""

import copy
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.checkpointing import (
    ActivationCheckpointing,
    CheckpointingPlan,
    block_policies,
    run_block,
)


class Stack(nn.ModuleList):
    """Blocks that take the tokens of the one before, and beside them all the same.

    None may draw random numbers: activation checkpointing would draw others when it repeats them.
    """

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__(blocks)
        self._plan: CheckpointingPlan = "none"

    def forward(
        self, tokens: Float[Tensor, "*n d"], *beside: object, depth: int | None = None
    ) -> Float[Tensor, "*n d"]:
        """The tokens after the first `depth` blocks, or after all."""
        for after in islice(self.after_each(tokens, *beside), depth):
            tokens = after
        return tokens

    def after_each(
        self, tokens: Float[Tensor, "*n d"], *beside: object
    ) -> Iterator[Float[Tensor, "*n d"]]:
        """The tokens after the first block, after the second, and so on."""
        for block, policy in zip(self, block_policies(self._plan, len(self)), strict=True):
            tokens = run_block(block, (tokens, *beside), policy)
            yield tokens

    def set_activation_checkpointing(self, plan: CheckpointingPlan) -> None:
        """Chooses what the blocks keep for the backward pass."""
        self._plan = plan

    def compile_regions(self) -> None:
        """Compiles each block in place; one graph serves a policy, and all numbers of tokens.

        Activation checkpointing, which is chosen before, becomes part of the graph: from outside,
        `selective` sees no products to keep. The hooks of strategies stay outside.
        """
        for block, policy in zip(self, block_policies(self._plan, len(self)), strict=True):
            block.forward = _CompiledForward(block, policy)
        self._plan = "none"


class _CompiledForward:
    """The compiled forward pass of one block; a copy of the block gets one of its own."""

    def __init__(self, block: nn.Module, policy: ActivationCheckpointing) -> None:
        self._block = block
        self._policy: ActivationCheckpointing = policy
        forward: Callable[..., Tensor] = type(block).forward.__get__(block)

        def run(tokens: Tensor, *beside: object) -> Tensor:
            return run_block(forward, (tokens, *beside), policy)

        self._run = torch.compile(run)

    def __call__(self, tokens: Tensor, *beside: object) -> Tensor:
        return self._run(tokens, *beside)

    def __deepcopy__(self, memo: dict[int, object]) -> "_CompiledForward":
        return _CompiledForward(copy.deepcopy(self._block, memo), self._policy)
