"""What a step of a masked joint-embedding method costs, with masks as its recipe draws them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from worldmodel_train.facts import RecipeFacts
from worldmodel_train.jepa.drawn_masks import (
    NUM_DRAWS,
    ClipLength,
    clip_lengths,
    mean_flops,
    token_table,
)
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
            for masks in length.draws
        )

    @cached_property
    def clip(self) -> ClipCost:
        """Operations of a clip: the mean over clip lengths and drawn masks."""
        policy = self._facts.activation_checkpointing

        def cost(length: ClipLength, masks: Sequence[MaskTokens]) -> ClipCost:
            return clip_cost(
                self._encoder,
                self._predictor,
                tokens=length.grid.num_tokens,
                masks=masks,
                checkpointing="none" if policy == "auto" else policy,
            )

        def mean(part: Callable[[ClipCost], Flops]) -> Flops:
            return mean_flops(self.lengths, lambda length, masks: part(cost(length, masks)))

        return ClipCost(
            target_forward=mean(lambda clip: clip.target_forward),
            context=mean(lambda clip: clip.context),
            predictor=mean(lambda clip: clip.predictor),
        )

    @cached_property
    def lengths(self) -> tuple[ClipLength, ...]:
        """Clips of each length."""
        return clip_lengths(lambda clip: (grid_of(self._encoder, clip), self._masks), self._facts)

    @property
    def tables(self) -> Sequence[CostTable]:
        """The tokens of a clip."""
        return (token_table(self.lengths),)

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
            for masks in length.draws:
                yield MicroBatch(
                    clips=length.together,
                    tokens=length.grid.num_tokens,
                    masks=masks,
                    precision=precision,
                    checkpointing="none",
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
