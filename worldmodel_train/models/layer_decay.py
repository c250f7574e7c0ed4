"""Learning rates that shrink from the last layer of a network to its first."""

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.protocols import ParameterGroup


def layered_groups(
    encoder: VisionTransformer, head: nn.Module, *, layer_decay: float
) -> list[ParameterGroup]:
    """The groups of each layer, with and without weight decay, the embedding's first.

    Of an encoder of L blocks, the embedding is layer 0, block i is layer i, and the last norm and
    the head are layer L + 1. Layer i learns at layer_decay ** (L + 1 - i) of `optim.lr`: BEiT
    (arXiv 2106.08254), and VideoMAE (arXiv 2203.12602, appendix) after it.
    """
    last = len(encoder.blocks) + 1
    return [
        replace(group, rate_scale=layer_decay ** (last - number))
        for number, parts in enumerate(_layers(encoder, head))
        for group in parameter_groups(**parts)
    ]


def _layers(encoder: VisionTransformer, head: nn.Module) -> Iterator[dict[str, nn.Module]]:
    """The modules of each layer, by the name of their groups."""
    yield {"embedding": encoder.patch_embed}
    for number, block in enumerate(encoder.blocks, start=1):
        yield {f"block_{number}": block}
    yield {"last_norm": encoder.norm, "head": head}
