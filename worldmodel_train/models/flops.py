"""What a model costs, counted from its configuration: no weights are made.

Only matrix products are counted, two operations for a multiplication and an addition. That is
where the time of a well-fused step goes, and it makes the sum a floor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.checkpointing import ActivationCheckpointing
from worldmodel_train.models.mlp import MlpKind
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.tubelet_embed import CHANNELS
from worldmodel_train.models.vit import EncoderConfig

# A fused attention keeps no scores: its backward pass computes them again, which makes five
# products of the forward pass's two.
ATTENTION_BACKWARD = 2.5
LINEAR_BACKWARD = 2.0
_MLP_MAPS: Mapping[MlpKind, int] = {"gelu": 2, "swiglu": 3}


class Flops(NamedTuple):
    """Floating point operations in linear maps, and in attention's two products."""

    linear: float = 0.0
    attention: float = 0.0

    @property
    def total(self) -> float:
        """All operations."""
        return self.linear + self.attention

    def plus(self, other: "Flops") -> "Flops":
        """Both together."""
        return Flops(self.linear + other.linear, self.attention + other.attention)

    def times(self, factor: int | float) -> "Flops":
        """`factor` times as many."""
        return Flops(self.linear * factor, self.attention * factor)

    def with_backward(self) -> "Flops":
        """The forward pass with its backward pass."""
        return Flops(self.linear * (1 + LINEAR_BACKWARD), self.attention * (1 + ATTENTION_BACKWARD))


def total(parts: Iterable[Flops]) -> Flops:
    """All parts together."""
    return reduce(Flops.plus, parts, Flops())


class MaskTokens(NamedTuple):
    """Tokens of one mask group: of the context, of one target set, and how many sets there are."""

    context: int
    target: int
    sets: int = 1


@dataclass(frozen=True, kw_only=True)
class ClipCost:
    """Operations that one clip costs in a training step."""

    target_forward: Flops
    context: Flops
    predictor: Flops

    @property
    def total(self) -> Flops:
        """All three parts."""
        return self.target_forward.plus(self.context).plus(self.predictor)


def encoder_parameters(config: EncoderConfig) -> int:
    """Parameters of the encoder."""
    width = config.blocks.width
    norm = 2 * width if config.last_norm == "layer_norm" else 0
    return token_pixels(config) * width + width + blocks_parameters(config.blocks) + norm


def predictor_parameters(config: PredictorConfig, encoder: EncoderConfig) -> int:
    """Parameters of the predictor, mask tokens included."""
    width, latent = config.width, encoder.blocks.width
    ends = 2 * latent * width + width + latent + 2 * width
    return ends + config.mask_tokens * width + blocks_parameters(config)


def encoder_forward(config: EncoderConfig, tokens: int) -> Flops:
    """One pass over `tokens` tokens of a clip."""
    return embed_forward(config, tokens).plus(blocks_forward(config.blocks, tokens))


def encoder_step(config: EncoderConfig, tokens: int, *, learns_pixels: bool = True) -> Flops:
    """One pass over `tokens` tokens of a clip and its backward pass, nothing counted twice.

    Pixels need no gradient, so that the embedding's backward pass is one product instead of two,
    or none where the embedding does not learn.
    """
    embedding = embed_forward(config, tokens).times(2 if learns_pixels else 1)
    return embedding.plus(once_each(blocks_forward(config.blocks, tokens)))


def once_each(forward: Flops) -> Flops:
    """The forward pass with a backward pass in which nothing is computed again."""
    return forward.times(1 + LINEAR_BACKWARD)


def predictor_forward(
    config: PredictorConfig, encoder: EncoderConfig, mask: MaskTokens, *, wider: int = 0
) -> Flops:
    """One pass over a mask group; each target set goes with its own copy of the context.

    What is said of a target is by so many numbers `wider` than a latent.
    """
    more = Flops(linear=2.0 * config.width * wider * mask.sets * mask.target)
    ends = _predictor_ends(config, encoder, mask).plus(more)
    return ends.plus(predictor_blocks(config, mask))


def clip_cost(
    encoder: EncoderConfig,
    predictor: PredictorConfig,
    *,
    tokens: int,
    masks: Sequence[MaskTokens],
    checkpointing: ActivationCheckpointing,
) -> ClipCost:
    """A joint-embedding step on a clip of `tokens` tokens.

    The target encoder runs once on all tokens, forward only; context encoder and predictor run
    forward and backward on all mask groups. `full` checkpointing runs their blocks forward
    once more; `selective` keeps every product.
    """
    context, prediction = Flops(), Flops()
    for mask in masks:
        # Pixels need no gradient, so the embedding's backward is one product, not two.
        embedding = embed_forward(encoder, mask.context).times(2)
        blocks = blocks_forward(encoder.blocks, mask.context)
        context = context.plus(embedding).plus(_step(blocks, checkpointing))
        ends = _predictor_ends(predictor, encoder, mask)
        blocks = predictor_blocks(predictor, mask)
        prediction = prediction.plus(ends.with_backward()).plus(_step(blocks, checkpointing))
    return ClipCost(
        target_forward=encoder_forward(encoder, tokens), context=context, predictor=prediction
    )


def model_flops(
    encoder: EncoderConfig,
    predictor: PredictorConfig,
    *,
    tokens: int,
    masks: Sequence[MaskTokens],
) -> float:
    """Operations of the same step without those done twice: what MFU counts.

    A fused attention's second look at the scores is left out as checkpointing is (PaLM, arXiv
    2204.02311, appendix B).
    """
    cost = clip_cost(encoder, predictor, tokens=tokens, masks=masks, checkpointing="none")
    twice = (ATTENTION_BACKWARD - LINEAR_BACKWARD) / (1 + ATTENTION_BACKWARD)
    return cost.total.total - twice * (cost.context.attention + cost.predictor.attention)


def _step(blocks: Flops, checkpointing: ActivationCheckpointing) -> Flops:
    again = blocks if checkpointing == "full" else Flops()
    return blocks.with_backward().plus(again)


def _predictor_ends(config: PredictorConfig, encoder: EncoderConfig, mask: MaskTokens) -> Flops:
    tokens = mask.context + mask.sets * mask.target
    return Flops(linear=2.0 * encoder.blocks.width * config.width * tokens)


def predictor_blocks(config: PredictorConfig, mask: MaskTokens) -> Flops:
    """One pass of the predictor's blocks over a mask group."""
    return blocks_forward(config, mask.context + mask.target).times(mask.sets)


def token_pixels(config: EncoderConfig) -> int:
    """Numbers in the pixels of a token."""
    return CHANNELS * config.tubelet * config.patch**2


def embed_forward(config: EncoderConfig, tokens: int) -> Flops:
    """From pixels to so many tokens."""
    return Flops(linear=2.0 * tokens * token_pixels(config) * config.blocks.width)


def blocks_forward(config: BlocksConfig, tokens: int) -> Flops:
    """One pass over `tokens` tokens that all see each other."""
    weights = 4 * config.width**2 + _MLP_MAPS[config.mlp] * config.width * config.mlp_width
    return Flops(
        linear=2.0 * config.depth * weights * tokens,
        attention=4.0 * config.depth * config.width * tokens**2,
    )


def blocks_parameters(config: BlocksConfig) -> int:
    """Parameters of the stack."""
    width, hidden, maps = config.width, config.mlp_width, _MLP_MAPS[config.mlp]
    attention = 4 * width**2 + 4 * width
    mlp = maps * width * hidden + (maps - 1) * hidden + width
    norms = 4 * width
    return config.depth * (attention + mlp + norms)
