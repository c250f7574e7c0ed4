"""What a step of a masked joint-embedding method costs, with masks as its recipe draws them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from worldmodel_train.facts import RecipeFacts
from worldmodel_train.masks.draw import group_seed
from worldmodel_train.models.checkpointing import CheckpointingPlan
from worldmodel_train.models.cost import CostTable, MemoryUse
from worldmodel_train.models.flops import (
    ClipCost,
    Flops,
    MaskTokens,
    clip_cost,
    encoder_parameters,
    model_flops,
    predictor_parameters,
)
from worldmodel_train.models.memory import (
    MicroBatch,
    Precision,
    Sharding,
    StepMemory,
    activation_bytes,
    step_memory,
)
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import TokenGrid

NUM_DRAWS = 32
"""Batches whose masks are drawn to find the mean number of tokens."""


@dataclass(frozen=True, kw_only=True)
class ClipLength:
    """Clips of one length: their share of the samples, their tokens and what they cost."""

    frames: int
    share: float
    grid: TokenGrid
    masks: tuple[tuple[MaskTokens, ...], ...]
    """For each mask group, the tokens of each draw."""
    cost: ClipCost


class MaskedCost:
    """A `StepCost`: a target encoder on all tokens, then a context encoder and a predictor.

    Activation checkpointing that is `auto` counts as none, which is the floor.
    """

    def __init__(
        self,
        encoder: EncoderConfig,
        predictor: PredictorConfig,
        masks: Sequence[MaskSampler],
        facts: RecipeFacts,
    ) -> None:
        self._encoder = encoder
        self._predictor = predictor
        self._masks = masks
        self._facts = facts
        self._largest: dict[tuple[CheckpointingPlan, Precision], MicroBatch] = {}

    @property
    def parameters(self) -> Mapping[str, int]:
        """Of the encoder, the predictor and the copy that follows."""
        encoder = encoder_parameters(self._encoder)
        predictor = predictor_parameters(self._predictor, self._encoder)
        return {
            "encoder": encoder,
            "predictor": predictor,
            "target encoder (EMA copy)": encoder,
        }

    @property
    def flops(self) -> Mapping[str, Flops]:
        """The mean over clip lengths and drawn masks."""
        return {
            "targets, forward": self.clip.target_forward,
            "context, forward + backward": self.clip.context,
            "predictor, forward + backward": self.clip.predictor,
        }

    @cached_property
    def model_flops(self) -> float:
        """The same mean, without what is computed twice."""
        return math.fsum(
            length.share
            / NUM_DRAWS
            * model_flops(
                self._encoder, self._predictor, tokens=length.grid.num_tokens, masks=masks
            )
            for length in self.lengths
            for masks in zip(*length.masks, strict=True)
        )

    @cached_property
    def clip(self) -> ClipCost:
        """Operations of a clip: the mean over clip lengths."""
        return _mean([(length.cost, length.share) for length in self.lengths])

    @cached_property
    def lengths(self) -> tuple[ClipLength, ...]:
        """What clips of each length cost."""
        by_frames: dict[int, tuple[TokenGrid, float]] = {}
        for clip, share in self._facts.data.shares.items():
            _, before = by_frames.get(clip.frames, (None, 0.0))
            by_frames[clip.frames] = grid_of(self._encoder, clip), before + share
        return tuple(self._length(n, grid, share) for n, (grid, share) in by_frames.items())

    @property
    def tables(self) -> Sequence[CostTable]:
        """The tokens of a clip."""
        title = f"Tokens per clip, masks of {self._facts.micro_batch} clips at a time"
        columns = ("frames", "share", "tokens", "masks", "context", "targets")
        rows = [row for length in self.lengths for row in _token_rows(length)]
        return (CostTable(title=title, columns=columns, rows=rows),)

    def memory(
        self, plan: CheckpointingPlan, sharding: Sharding, precision: Precision
    ) -> MemoryUse:
        """Of a step with the largest of the drawn micro-batches."""
        memory = self.step_memory(plan, sharding, precision)
        return MemoryUse(parts=_parts(memory), worst=memory.worst.name)

    def step_memory(
        self, plan: CheckpointingPlan, sharding: Sharding, precision: Precision
    ) -> StepMemory:
        """The same by moment and by what is kept."""
        key = plan, precision
        if key not in self._largest:
            drawn = self._micro_batches(precision)
            self._largest[key] = max(
                (replace(batch, checkpointing=plan) for batch in drawn), key=self._kept
            )
        return step_memory(self._encoder, self._predictor, self._largest[key], sharding)

    def _kept(self, batch: MicroBatch) -> int:
        return activation_bytes(self._encoder, self._predictor, batch).forward

    def _micro_batches(self, precision: Precision) -> Iterator[MicroBatch]:
        """The drawn micro-batches, each of one clip length."""
        for length in self.lengths:
            for masks in zip(*length.masks, strict=True):
                yield MicroBatch(
                    clips=self._facts.micro_batch,
                    tokens=length.grid.num_tokens,
                    masks=masks,
                    precision=precision,
                    checkpointing="none",
                )

    def _length(self, frames: int, grid: TokenGrid, share: float) -> ClipLength:
        policy = self._facts.activation_checkpointing
        masks = tuple(tuple(self._draws(group, grid)) for group in range(len(self._masks)))
        costs = [
            clip_cost(
                self._encoder,
                self._predictor,
                tokens=grid.num_tokens,
                masks=drawn,
                checkpointing="none" if policy == "auto" else policy,
            )
            for drawn in zip(*masks, strict=True)
        ]
        cost = _mean((cost, 1 / NUM_DRAWS) for cost in costs)
        return ClipLength(frames=frames, share=share, grid=grid, masks=masks, cost=cost)

    def _draws(self, group: int, grid: TokenGrid) -> Iterable[MaskTokens]:
        """Tokens of one clip in each of some micro-batches, padding included."""
        size, seed = self._facts.micro_batch, group_seed(self._facts.seed, group)
        for step in range(NUM_DRAWS):
            samples = range(step * size, (step + 1) * size)
            drawn = self._masks[group].sample(grid, seed=seed, step=step, samples=samples)
            sets, target = drawn.target_index.shape[1:]
            yield MaskTokens(drawn.context_index.shape[1], target, sets)


def mean_flops(
    lengths: Sequence[ClipLength], of: Callable[[int, Sequence[MaskTokens]], Flops]
) -> Flops:
    """The mean of what tokens of a clip and masks of all groups cost, over lengths and draws."""
    total = Flops()
    for length in lengths:
        for masks in zip(*length.masks, strict=True):
            cost = of(length.grid.num_tokens, masks)
            total = total.plus(cost.times(length.share / NUM_DRAWS))
    return total


def _mean(weighed: Iterable[tuple[ClipCost, float]]) -> ClipCost:
    target, context, predictor = Flops(), Flops(), Flops()
    for cost, weight in weighed:
        target = target.plus(cost.target_forward.times(weight))
        context = context.plus(cost.context.times(weight))
        predictor = predictor.plus(cost.predictor.times(weight))
    return ClipCost(target_forward=target, context=context, predictor=predictor)


def _token_rows(length: ClipLength) -> Iterator[Sequence[str]]:
    everything = length.grid.num_tokens

    def tokens(of: Callable[[MaskTokens], int], draws: Sequence[MaskTokens]) -> str:
        mean = sum(map(of, draws)) / len(draws)
        return f"{mean:,.0f} ({mean / everything:.1%})"

    for index, draws in enumerate(length.masks):
        sets = f"{draws[0].sets} x " if draws[0].sets > 1 else ""
        yield (
            str(length.frames),
            f"{length.share:.1%}",
            f"{everything:,} ({'x'.join(map(str, length.grid))})",
            str(index),
            tokens(lambda draw: draw.context, draws),
            sets + tokens(lambda draw: draw.target, draws),
        )


def _parts(memory: StepMemory) -> dict[str, int]:
    """What is there at the worst moment, by what it is."""
    state, activations, worst = memory.state, memory.activations, memory.worst
    kept = worst.kept > 0
    # what the backward pass has set free when it meets its worst moment
    used_up = min(worst.working, 0)
    return {
        "weights": state.weights,
        "bf16 copies of the weights": worst.casts,
        "target encoder": state.teacher,
        "target encoder, fp32 shard": state.ema,
        "gradients": state.gradients,
        "optimizer (moments, masters)": state.optimizer,
        "clips": activations.inputs,
        "kept by context encoder": activations.context if kept else 0,
        "kept by predictor and loss": activations.predictor + used_up if kept else 0,
        "other activations, copies": worst.working - used_up,
        "communication": worst.communication,
    }
