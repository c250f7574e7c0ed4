"""What it costs to look at the frames of episodes, one by one."""

from typing import NamedTuple

from worldmodel_train.facts import ClipShape, DataFacts, EpisodeFacts, FrameSize, RecipeFacts
from worldmodel_train.models.flops import Flops, encoder_forward
from worldmodel_train.models.frozen_frames import clip_encoder
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.models.vit import EncoderConfig


def frame_size(data: DataFacts) -> FrameSize:
    """Height and width of the frames of clips, or of episodes of pictures."""
    if data.episodes is None:
        return FrameSize(*data.sources[0].clip[1:])
    return FrameSize(*data.episodes.observation[:2])


def frame_tokens(encoder: EncoderConfig, episodes: EpisodeFacts) -> int:
    """Tokens of a frame, which is repeated to fill a tubelet."""
    height, width, _ = episodes.observation
    return grid_of(encoder, ClipShape(encoder.tubelet, height, width)).num_tokens


class FrozenSight(NamedTuple):
    """What another run's encoder makes of the frames of a window."""

    encoder: EncoderConfig
    origin: str
    """Where the encoder comes from, for a person."""
    episodes: EpisodeFacts

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.encoder.blocks.width

    @property
    def tokens(self) -> int:
        """Of a frame."""
        return frame_tokens(self.encoder, self.episodes)

    @property
    def forward(self) -> Flops:
        """Of all frames; a class token is left out."""
        return encoder_forward(self.encoder, self.tokens).times(self.episodes.steps)


def frozen_sight(facts: RecipeFacts) -> FrozenSight | None:
    """What `method.encoder` sees of a window; None before an episode and that run were looked at.

    Raises:
        ValueError: The part is no encoder of clips.
    """
    episodes = facts.data.episodes
    if episodes is None or facts.frozen is None:
        return None
    part = facts.frozen("encoder")
    encoder = clip_encoder(part.network, origin=part.origin).config
    return FrozenSight(encoder, part.origin, episodes)
