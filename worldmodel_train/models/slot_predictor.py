"""Predicts slots that are hidden, and those to come, from what is seen of all of them.

The predictor of Causal-JEPA (arXiv 2602.11389): a transformer that sees all nodes of all frames at
once. Nothing but what a slot holds in the first frame says which slot it is, so slots may be given
in any order, and there may be more or fewer of them.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.blocks import Blocks, BlocksConfig, init_linear, rescale_residuals
from worldmodel_train.models.flops import Flops, blocks_forward, once_each, total
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.projection_head import data_head_step, head_forward
from worldmodel_train.models.token_sets import AttentionGroup


class SlotPredictorConfig(StrictConfig):
    """The size, but for the width, which is that of slots; the defaults are Causal-JEPA's."""

    depth: int = Field(default=6, gt=0)
    """Blocks in the stack."""
    heads: int = Field(default=16, gt=0)
    """Attention heads, which share a slot's numbers; the released ones are 8 of 128 wide."""
    mlp_ratio: float = Field(default=16.0, gt=0)
    """Hidden channels of the MLP, as a multiple of a slot's numbers: 2048 of 128."""

    def build(self, width: int, *, frames: int, actions: int, states: int) -> "SlotPredictor":
        """A predictor of at most so many frames, drawn from torch's global generator.

        Actions and states of 0 numbers have no nodes.

        Raises:
            ValueError: The heads do not share the numbers of a slot.
        """
        return SlotPredictor(self.blocks(width), frames, actions, states)

    def blocks(self, width: int) -> BlocksConfig:
        """The stack for slots so wide; raises ValueError where heads do not share their numbers."""
        return BlocksConfig(
            width=width, depth=self.depth, heads=self.heads, mlp_ratio=self.mlp_ratio
        )


class Nodes(NamedTuple):
    """What a predictor is told and asked."""

    slots: int
    """Of a frame."""
    frames: int
    history: int
    """Frames that are seen."""
    actions: int
    """Numbers of one; 0 has no nodes."""
    states: int


def slot_predictor_step(blocks: BlocksConfig, nodes: Nodes) -> Flops:
    """Of a film, forward and backward; slots are given no gradient."""
    width, count = blocks.width, nodes.frames * nodes.slots
    parts = [
        data_head_step((width, width)).times(nodes.slots),
        once_each(head_forward((width, width))).times(nodes.frames * nodes.slots),
    ]
    if nodes.states:
        count += nodes.frames
        parts += [
            data_head_step((nodes.states, width)).times(nodes.history),
            once_each(head_forward((width, width))),
            once_each(head_forward((width, nodes.states))).times(nodes.frames),
        ]
    if nodes.actions:
        count += nodes.frames - 1
        parts.append(data_head_step((nodes.actions, width)).times(nodes.frames - 1))
    return total([*parts, once_each(blocks_forward(blocks, count))])


class SlotPredictor(nn.Module):
    """Slots of some frames, and what is done and felt, to the slots of these and later frames."""

    def __init__(self, blocks: BlocksConfig, frames: int, actions: int, states: int) -> None:
        super().__init__()
        width = blocks.width
        self.hidden = nn.Parameter(torch.empty(1, width))
        self.times = nn.Parameter(torch.empty(frames, width))
        self.anchor = Linear(width, width)
        self.action_embed = Linear(actions, width) if actions else None
        self.state_embed = Linear(states, width) if states else None
        self.blocks = Blocks(blocks)
        self.norm = LastNorm(width, eps=1e-6)
        self.proj = Linear(width, width)
        self.state_proj = Linear(width, states) if states else None
        self.apply(init_linear)
        rescale_residuals(self.blocks)
        nn.init.trunc_normal_(self.hidden, std=0.02)
        nn.init.normal_(self.times)  # as wide as slots are

    def forward(
        self,
        seen: Float[Tensor, "b h s d"],
        hidden: Bool[Tensor, "b s"],
        actions: Float[Tensor, "b steps a"],
        states: Float[Tensor, "b h c"],
    ) -> tuple[Float[Tensor, "b t s d"], Float[Tensor, "b t c"]]:
        """The slots and states of all frames, those that were seen too, in fp32.

        Of a slot that is `hidden` only the first frame is seen. All actions are, of which there is
        one less than there are frames.
        """
        batch, slots, frames = len(seen), seen.shape[2], actions.shape[1] + 1
        nodes = [self._over_time(seen, hidden, frames).flatten(1, 2)]
        if self.state_embed is not None:
            felt = self.state_embed(states.flatten(0, 1)).view(batch, -1, 1, seen.shape[-1])
            nodes.append(self._over_time(felt, hidden.new_zeros(batch, 1), frames).flatten(1, 2))
        if self.action_embed is not None:
            done = self.action_embed(actions.flatten(0, 1)).unflatten(0, actions.shape[:2])
            nodes.append(done + self.times[: frames - 1])
        found = self._attended(torch.cat(nodes, dim=1))
        of_slots = self.proj(found[:, : frames * slots].flatten(0, 1)).float()
        return of_slots.view(batch, frames, slots, -1), self._felt(found, frames, slots)

    def _over_time(
        self, seen: Float[Tensor, "b h s d"], hidden: Bool[Tensor, "b s"], frames: int
    ) -> Float[Tensor, "b _ s d"]:
        """What is seen at its time; where nothing is, the question for this node at that time."""
        batch, history, nodes, _ = seen.shape
        times = rearrange(self.times[:frames], "t d -> t 1 d")
        first = self.anchor(seen[:, 0].flatten(0, 1)).view(batch, 1, nodes, -1)
        asked = self.hidden + first + times
        later = torch.arange(history, device=seen.device) > 0
        blank = rearrange(hidden, "b s -> b 1 s 1") & rearrange(later, "h -> h 1 1")
        told = torch.where(blank, asked[:, :history], seen + times[:history])
        return torch.cat((told, asked[:, history:]), dim=1)

    def _attended(self, nodes: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        group = AttentionGroup(rows=len(nodes), tokens=nodes.shape[1])
        return self.norm(self.blocks(nodes.flatten(0, 1), [group])).view(nodes.shape)

    def _felt(
        self, found: Float[Tensor, "b n d"], frames: int, slots: int
    ) -> Float[Tensor, "b _ c"]:
        """The states, of no numbers where none are told."""
        if self.state_proj is None:
            return found.new_empty(len(found), frames, 0)
        nodes = found[:, frames * slots : frames * (slots + 1)]
        return self.state_proj(nodes.flatten(0, 1)).float().unflatten(0, nodes.shape[:2])
