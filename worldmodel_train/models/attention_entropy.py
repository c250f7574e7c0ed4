"""How evenly the attention of each block looks around, found beside it: kernels keep no weights."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.blocks import Block
from worldmodel_train.models.token_sets import AttentionGroup

_QUERIES = 32
"""Tokens of a sequence whose attention is looked at; all tokens are looked at by them."""


@torch.no_grad()
def attention_entropies(
    model: nn.Module, forward: Callable[[], object]
) -> Sequence[Float[Tensor, ""]]:
    """The entropy of each block that `forward` runs, in their order: 0 one token, 1 all alike.

    A block is asked before its own pass, outside what is compiled, and on all ranks where its
    weights are sharded.
    """
    found: list[Tensor] = []

    def ask(block: nn.Module, inputs: tuple[Tensor, Sequence[AttentionGroup]]) -> None:
        assert isinstance(block, Block)
        tokens, (group,) = inputs
        found.append(block.attn.entropy(block.norm1(tokens), group, queries=_QUERIES))

    blocks = [module for module in model.modules() if isinstance(module, Block)]
    hooks = [block.register_forward_pre_hook(ask) for block in blocks]
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()
    return found
