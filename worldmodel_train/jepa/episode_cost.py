"""What it costs to look at the frames of episodes, one by one."""

from typing import NamedTuple

from worldmodel_train.facts import ClipShape, DataFacts, EpisodeFacts, FrameSize, RecipeFacts
from worldmodel_train.models.flops import Flops, encoder_forward
from worldmodel_train.models.frozen_frames import clip_encoder
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.models.vit import EncoderConfig


def frame_size(data: DataFacts) -> FrameSize | None:
    """Height and width of the frames of clips, or of episodes once one was opened."""
    if data.kind == "clips":
        return FrameSize(*data.sources[0].clip[1:])
    return None if data.episodes is None else FrameSize(*data.episodes.observation[:2])


def frame_tokens(encoder: EncoderConfig, episodes: EpisodeFacts) -> int:
    """Tokens of a frame, which is repeated to fill a tubelet."""
    height, width, _ = episodes.observation
    return grid_of(encoder, ClipShape(encoder.tubelet, height, width)).num_tokens


class FrozenSight(NamedTuple):
    """What another run's encoder makes of a frame."""

    width: int
    """Channels of a token."""
    tokens: int
    frames: int
    """Of a window."""
    forward: Flops
    """Of all of them; a class token is left out."""


def frozen_sight(facts: RecipeFacts) -> FrozenSight | None:
    """What `method.encoder` sees of a window; None before an episode and that run were looked at.

    Raises:
        ValueError: The part is no encoder of clips.
    """
    episodes = facts.data.episodes
    if episodes is None or facts.frozen is None:
        return None
    network = clip_encoder(facts.frozen("encoder"), origin="it")
    tokens = frame_tokens(network.config, episodes)
    forward = encoder_forward(network.config, tokens).times(episodes.steps)
    return FrozenSight(network.width, tokens, episodes.steps, forward)
