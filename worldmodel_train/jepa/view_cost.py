"""What a step costs of a method that compares views; what the losses take is left out."""

from collections.abc import Sequence

from worldmodel_train.facts import RecipeFacts
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.flops import (
    Flops,
    encoder_forward,
    encoder_parameters,
    encoder_step,
    once_each,
    total,
)
from worldmodel_train.models.projection_head import head_forward, head_parameters
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.models.views.saccades import Saccades
from worldmodel_train.models.views.views import ViewConfig
from worldmodel_train.models.vit import EncoderConfig


def view_tokens(view: ViewConfig | Saccades, encoder: EncoderConfig, facts: RecipeFacts) -> int:
    """Tokens of a view of a clip."""
    clip = facts.data.sources[0].clip
    if view.size is not None:
        clip = clip._replace(height=view.size, width=view.size)
    return grid_of(encoder, clip).num_tokens


def learned(
    encoder: EncoderConfig, tokens: Sequence[int], head: Flops, *, learns_pixels: bool = True
) -> Flops:
    """Of an encoder and a head on views of so many tokens, with the backward pass."""
    passes = (encoder_step(encoder, count, learns_pixels=learns_pixels) for count in tokens)
    return total(passes).plus(once_each(head).times(len(tokens)))


def seen(encoder: EncoderConfig, tokens: Sequence[int], head: Flops) -> Flops:
    """The same of copies that follow, which only look."""
    passes = (encoder_forward(encoder, count) for count in tokens)
    return total(passes).plus(head.times(len(tokens)))


def head_cost(
    encoder: EncoderConfig, widths: Sequence[int], views: Sequence[ViewConfig], facts: RecipeFacts
) -> PlainCost:
    """Of an encoder and a head on all views of a clip; what memory a step takes is not said."""
    widths = (encoder.blocks.width, *widths)
    tokens = [view_tokens(view, encoder, facts) for view in views]
    return PlainCost(
        parameters={"encoder": encoder_parameters(encoder), "projector": head_parameters(widths)},
        flops={"views, forward + backward": learned(encoder, tokens, head_forward(widths))},
    )
