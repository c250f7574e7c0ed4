"""What a method may know of the rest of its recipe."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from worldmodel_train.config.origins import KeyPath

Misfit: TypeAlias = tuple[KeyPath, str]
"""The key of a value that is fine by itself and does not go with others, and what to write."""


class FrameSize(NamedTuple):
    """A picture in pixels."""

    height: int
    width: int


class ClipShape(NamedTuple):
    """A clip in pixels."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """The clips of one source."""

    key: KeyPath
    """Where the recipe has the source."""
    clip: ClipShape
    share: float
    """Of the samples trained on; 0 for clips that are held out."""
    fps: float | None = None
    """Pictures a second; None where frames are counted, or where nobody says."""


@dataclass(frozen=True, kw_only=True)
class EpisodeFacts:
    """The shapes that all episodes have, known once one is opened."""

    steps: int
    """Observations of a window."""
    observation: tuple[int, ...]
    """Shape of one: h w c of a picture, or the width of a vector."""
    action_width: int
    """Of all that is done between two observations, skipped ones included."""
    discrete_actions: bool
    """Whether actions are integers that count choices."""
    state_width: int | None
    """None where states are not known."""
    has_rewards: bool = False
    has_ends: bool = False
    """Whether it is known where episodes end, and where they are cut off."""


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """The stretches of sound that are read."""

    rate: int
    """Samples a second."""
    samples: int
    """Of each."""


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What a recipe says of its data."""

    sources: tuple[SourceFacts, ...]
    held_out: SourceFacts | None = None
    size_key: KeyPath = ("data", "augment", "size")
    """Where the recipe has the height and width of all clips."""
    classes: tuple[str, ...] | None = None
    """The classes whose numbers are the clips' labels; None where no labels are read."""
    labels: Literal["one", "many"] = "one"
    """Whether a clip has one class, or several are true of it."""
    clips_per_video: int = 1
    """Clips of one video that follow each other in a micro-batch."""
    together: Mapping[int, int] = field(default_factory=dict)
    """Clips of a micro-batch by their frames, where `train.micro_batch` is only the mean."""
    kind: Literal["clips", "trajectories", "latents", "audio"] = "clips"
    """What is read: a method says in `takes` what it takes."""
    episodes: EpisodeFacts | None = None
    """Of trajectories, once one was opened; None before."""
    audio: AudioFacts | None = None
    """Of sound; None of all else."""
    latent_width: int | None = None
    """Channels of latents, once their folder was opened; None before."""

    def __iter__(self) -> Iterator[SourceFacts]:
        """All sources, the held-out one last."""
        yield from self.sources
        if self.held_out is not None:
            yield self.held_out

    @property
    def measured_clip(self) -> ClipShape:
        """That of the held-out clips; where there are none, of the first source's."""
        return (self.held_out or self.sources[0]).clip

    @property
    def shares(self) -> dict[ClipShape, float]:
        """The share of the samples that has each shape of clip, in the order of the sources."""
        shares: dict[ClipShape, float] = {}
        for source in self.sources:
            shares[source.clip] = shares.get(source.clip, 0.0) + source.share
        return shares


class PartShapes(NamedTuple):
    """A part of another run without its numbers."""

    network: Any
    """An `nn.Module` on torch's `meta` device; to read a recipe torch is not needed."""
    origin: str
    """Where it comes from, for a person."""


@dataclass(frozen=True, kw_only=True)
class RecipeFacts:
    """What a recipe says beside its method."""

    data: DataFacts
    seed: int
    steps: int
    """Optimizer steps of the whole run."""
    micro_batch: int
    activation_checkpointing: Literal["none", "selective", "full", "auto"]
    frozen: "Callable[[str], PartShapes] | None" = None
    """The part of another run that the method has under this name.
    None as long as no other file than the recipe is looked at."""

    def together(self, frames: int) -> int:
        """Clips of a micro-batch of clips of this length."""
        return self.data.together.get(frames, self.micro_batch)
