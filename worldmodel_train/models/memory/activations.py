"""Bytes of activations at the peak of a joint-embedding step, counted from configurations.

A pass over a stack of blocks keeps some tensors until its backward pass. The peak is in the loss,
or in the backward pass of a block, which first computes again what activation checkpointing
dropped. All mask groups go through a network together.

Per token of width d, hidden width h, e bytes a number: a block keeps the input of both norms (in
the residual stream's precision; a copy in fp32 on a CPU), their outputs (5e d with queries, keys
and values in one matrix), on a CPU rotated queries and keys beside the matrix they came in (2e d),
attention's output (e d, and again where those of several mask groups are laid end to end) and
log-sum-exp, and both sides of the GELU (2e h; of a SwiGLU its two maps, the gate and the product,
4e h). The norm at the end of a network keeps its input in
fp32. Attention is a fused kernel: no scores. Index tensors and small scalars are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worldmodel_train.models.blocks import BlocksConfig, Stream
from worldmodel_train.models.checkpointing import CheckpointingPlan, block_policies
from worldmodel_train.models.flops import MaskTokens
from worldmodel_train.models.memory.state import ELEMENT, FP32, Precision
from worldmodel_train.models.mlp import MlpKind
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.rope import Rope3d, Rope3dInterpolated, Rope3dVJepa2
from worldmodel_train.models.tubelet_embed import CHANNELS
from worldmodel_train.models.vit import EncoderConfig

STATISTICS = 2 * FP32
"""Bytes of the mean and the spread that a norm keeps of a token."""


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """What one forward pass runs over, and how."""

    clips: int
    tokens: int
    """Of a whole clip."""
    masks: Sequence[MaskTokens]
    """Of each mask group."""
    precision: Precision
    checkpointing: CheckpointingPlan
    on_cuda: bool = True
    """There norms take bf16 tokens as they are, and the Triton kernel of rotary positions leaves
    nothing of the matrix that queries, keys and values came in."""


@dataclass(frozen=True, kw_only=True)
class ActivationBytes:
    """Activations of one micro-batch, in bytes."""

    inputs: int
    """Clips as uint8."""
    context: int
    """Kept by the context encoder, over all mask groups."""
    predictor: int
    """Kept by the predictor and the loss, over all mask groups."""
    target: int
    """At the peak of the target encoder, which runs first and keeps nothing."""
    forward: int
    """At the worst moment of the forward pass after the targets: in a block, or in the loss."""
    backward: int
    """At the worst moment of the backward pass."""

    @property
    def kept(self) -> int:
        """All that waits for the backward pass."""
        return self.context + self.predictor


class _Pass(NamedTuple):
    """One stack of blocks on all mask groups."""

    kept: int
    after: int
    """Of what is kept, the part that was used up when the blocks' backward pass begins."""
    working: int
    """In a block's forward pass, beside what is kept."""
    again: int
    """In a block's backward pass: what it computes again, and gradients."""


class _Numbers(NamedTuple):
    """Bytes of a number."""

    element: int
    """That a linear map takes and gives."""
    stream: int
    """In the residual stream."""
    norm: int
    """That a block's norm keeps of its input."""


class _MlpNumbers(NamedTuple):
    """Numbers a token and hidden channel."""

    kept: int
    """For the backward pass."""
    products: int
    """That are results of matrix products."""
    gradients: int
    """At the worst moment of the backward pass, beyond what it has freed by then."""
    working: int
    """At the worst moment of a pass that keeps nothing."""


_MLP_NUMBERS: Mapping[MlpKind, _MlpNumbers] = {
    "gelu": _MlpNumbers(kept=2, products=1, gradients=1, working=2),
    "swiglu": _MlpNumbers(kept=4, products=2, gradients=2, working=3),
}


class _Stack(NamedTuple):
    """A stack of blocks as its bytes are counted."""

    blocks: BlocksConfig
    numbers: _Numbers
    rotates: bool


def activation_bytes(
    encoder: EncoderConfig, predictor: PredictorConfig, batch: MicroBatch
) -> ActivationBytes:
    """Activations of a step in which each mask group predicts the target encoder's latents."""
    target = batch.clips * batch.tokens * _inference(encoder, batch)
    context = _context_pass(encoder, batch)
    prediction = _predictor_pass(predictor, encoder, batch)
    kept = context.kept + prediction.kept
    # of each group, until all losses are known: what was predicted, and what should have been
    latents = [FP32 * encoder.blocks.width * _targets(mask, batch) for mask in batch.masks]
    loss = kept + 2 * sum(latents) + latents[-1]
    return ActivationBytes(
        inputs=batch.clips * batch.tokens * _pixels(encoder),
        context=context.kept,
        predictor=prediction.kept,
        target=target,
        forward=max(
            loss,
            sum(latents) + context.kept - context.after + context.working,
            sum(latents) + kept - prediction.after + prediction.working,
        ),
        backward=max(
            context.kept - context.after + context.again,
            kept - prediction.after + prediction.again,
        ),
    )


def _context_pass(encoder: EncoderConfig, batch: MicroBatch) -> _Pass:
    """The pixels, the blocks, the last norm, and the latents as the predictor takes them."""
    numbers, width = _numbers(batch, encoder.stream), encoder.blocks.width
    tokens = batch.clips * sum(mask.context for mask in batch.masks)
    after = (FP32 + numbers.element) * width + STATISTICS
    stack = _Stack(encoder.blocks, numbers, rotates=_rotates(encoder))
    blocks = _stack(stack, tokens, batch, tokens * after)
    return blocks._replace(kept=blocks.kept + tokens * numbers.element * _pixels(encoder))


def _predictor_pass(predictor: PredictorConfig, encoder: EncoderConfig, batch: MicroBatch) -> _Pass:
    """The blocks over context and targets; then the targets' norm, latents and errors."""
    numbers, width = _numbers(batch, predictor.stream), predictor.width
    targets = sum(_targets(mask, batch) for mask in batch.masks)
    tokens = batch.clips * sum(mask.sets * mask.context for mask in batch.masks) + targets
    errors = FP32 * encoder.blocks.width
    after = targets * ((FP32 + numbers.element) * width + STATISTICS + errors)
    return _stack(_Stack(predictor, numbers, rotates=_rotates(encoder)), tokens, batch, after)


def _stack(stack: _Stack, tokens: int, batch: MicroBatch, after: int) -> _Pass:
    blocks, numbers, rotates = stack
    apart = rotates and not batch.on_cuda
    joined = numbers.element * blocks.width if len(batch.masks) > 1 else 0
    everything = _block(blocks, numbers, twice=apart) + joined
    keeps = {
        "none": everything,
        "selective": _products(blocks, numbers),
        "full": numbers.stream * blocks.width,
    }
    kept = [keeps[policy] for policy in block_policies(batch.checkpointing, blocks.depth)]
    # while a block works, those after it hold nothing yet, or nothing any more
    later = [sum(kept[block + 1 :]) for block in range(blocks.depth)]
    rotation = 2 * FP32 * blocks.head_width if rotates else 0
    working = _working(blocks, numbers, rotates=rotates)
    again = everything + _gradients(blocks, numbers, rotates=apart)
    return _Pass(
        kept=tokens * (sum(kept) + rotation) + after,
        after=after,
        working=tokens
        * max(
            0 if own == everything else working - missing
            for own, missing in zip(kept, later, strict=True)
        ),
        again=tokens * max(again - own - missing for own, missing in zip(kept, later, strict=True)),
    )


def _block(blocks: BlocksConfig, numbers: _Numbers, *, twice: bool) -> int:
    """Bytes a token that a block keeps when it keeps all, queries and keys perhaps `twice`."""
    norms = 2 * (numbers.norm * blocks.width + STATISTICS)
    products = 2 + 3 + 1 + (2 if twice else 0)
    log_sum_exp = FP32 * blocks.heads
    hidden = _MLP_NUMBERS[blocks.mlp].kept * blocks.mlp_width
    return norms + numbers.element * (products * blocks.width + hidden) + log_sum_exp


def _products(blocks: BlocksConfig, numbers: _Numbers) -> int:
    """Bytes a token of the input, the four matrix products and attention."""
    wide = (3 + 1 + 1) + 1
    hidden = _MLP_NUMBERS[blocks.mlp].products * blocks.mlp_width
    products = numbers.element * (wide * blocks.width + hidden)
    return numbers.stream * blocks.width + products + FP32 * blocks.heads


def _gradients(blocks: BlocksConfig, numbers: _Numbers, *, rotates: bool) -> int:
    """Bytes a token that the worst moment of a block's backward pass adds to what was kept."""
    element, width = numbers.element, blocks.width
    hidden = element * blocks.mlp_width
    # of the stream, and of one side of the GELU: the other side is free when it gets its own
    mlp = numbers.stream * width + _MLP_NUMBERS[blocks.mlp].gradients * hidden
    # the fused kernel sums the gradient of queries in fp32; without Triton rotation works in fp32
    attention = (numbers.stream + 7 * element + FP32) * width
    attention += 2 * FP32 * width if rotates else 0
    # attention comes second: what the MLP kept is free by then
    free = _MLP_NUMBERS[blocks.mlp].kept * hidden + (numbers.norm + element) * width
    return max(mlp, attention - free)


def _inference(encoder: EncoderConfig, batch: MicroBatch) -> int:
    """Bytes a token at the worst moment of a pass that keeps nothing."""
    blocks, numbers = encoder.blocks, _numbers(batch, encoder.stream)
    # the stream before the first block, and before this one
    streams = 2 * numbers.stream * blocks.width
    working = streams + _working(blocks, numbers, rotates=_rotates(encoder))
    # bytes, fp32 and, where they differ, what the product takes
    pixels = (1 + FP32 + numbers.element % FP32) * _pixels(encoder)
    return max(working, pixels + numbers.element * blocks.width)


def _working(blocks: BlocksConfig, numbers: _Numbers, *, rotates: bool) -> int:
    """Bytes a token at the worst moment of a block that keeps nothing but its input."""
    element, width = numbers.element, blocks.width
    attention = (3 + 1) * element * width
    attention += (2 * element + 2 * FP32 if rotates else element) * width
    hidden = _MLP_NUMBERS[blocks.mlp].working * blocks.mlp_width
    mlp = (numbers.stream + element) * width + element * hidden
    return max(attention, mlp)


def _numbers(batch: MicroBatch, stream: Stream) -> _Numbers:
    element = ELEMENT[batch.precision]
    carried = FP32 if stream == "fp32" else element
    return _Numbers(element, stream=carried, norm=carried if batch.on_cuda else FP32)


def _targets(mask: MaskTokens, batch: MicroBatch) -> int:
    return batch.clips * mask.sets * mask.target


def _rotates(encoder: EncoderConfig) -> bool:
    return isinstance(encoder.position, Rope3d | Rope3dInterpolated | Rope3dVJepa2)


def _pixels(encoder: EncoderConfig) -> int:
    """Bytes of a tubelet."""
    return CHANNELS * encoder.tubelet * encoder.patch**2
