"""The values that travel between the parts.

Axes: b batch, t frames, h w pixels, c channels, n tokens, k context tokens, g target sets,
m target tokens, p latents pooled over batch and tokens, d width.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


class TokenGrid(NamedTuple):
    """Tokens along time, height and width; token ids count in that order, width fastest."""

    frames: int
    height: int
    width: int

    @classmethod
    def of(cls, frames: int, height: int, width: int, *, tubelet: int, patch: int) -> "TokenGrid":
        """The tokens of a clip in pixels, of `tubelet` frames by `patch` by `patch` pixels each."""
        rests = frames % tubelet, height % patch, width % patch
        assert rests == (0, 0, 0), f"{frames}x{height}x{width} pixels are not whole tokens"
        return cls(frames // tubelet, height // patch, width // patch)

    @property
    def num_tokens(self) -> int:
        """Tokens of one clip."""
        return self.frames * self.height * self.width


@runtime_checkable
class Record(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


_RecordT = TypeVar("_RecordT", bound=Record)


def map_tensors(record: _RecordT, function: Callable[[Tensor], Tensor]) -> _RecordT:
    """The same dataclass with `function` applied to each field that is a tensor, in their order."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    mapped = {name: function(v) for name, v in values.items() if isinstance(v, Tensor)}
    return replace(record, **mapped)


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Which tokens the context encoder sees and which the predictor must predict.

    `g` target sets are predicted apart from each other from one context: V-JEPA has one, I-JEPA
    four. The `valid` masks are None when every id counts; otherwise False marks padding.
    """

    context_index: Int[Tensor, "b k"]
    target_index: Int[Tensor, "b g m"]
    context_valid: Bool[Tensor, "b k"] | None = None
    target_valid: Bool[Tensor, "b g m"] | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Masks":
        """The same masks with `function` applied to each tensor."""
        return map_tensors(self, function)


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips of one length, as they were read."""

    pixels: UInt8[Tensor, "b t h w c"]
    samples: tuple[int, ...]
    """The position of each in the run's order of samples."""
    length_index: int = 0
    """Which of the clip lengths of the recipe's sources this is, in the order they are named."""
    labels: Int[Tensor, "b"] | Bool[Tensor, "b classes"] | None = None
    """The number of each clip's class, where the recipe has a list of them; with `data.labels:
    many` which of all classes are true of it."""
    times: Float[Tensor, "b t"] | None = None
    """Seconds from the first picture of a clip's video to each of the clip's."""

    @property
    def num_samples(self) -> int:
        """Clips."""
        return len(self.samples)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Clips":
        """The same clips with `function` applied to each tensor."""
        return map_tensors(self, function)


@dataclass(frozen=True, kw_only=True)
class ClipGroup:
    """Clips of one length, and the masks of each mask group over all of them."""

    clips: UInt8[Tensor, "b t h w c"]
    masks: tuple[Masks, ...]
    length_index: int = 0
    """Which of the clip lengths of the recipe's sources this is, in the order they are named."""
    labels: Int[Tensor, "b"] | Bool[Tensor, "b classes"] | None = None
    """As the clips had them; no method learns from them."""

    def map(self, function: Callable[[Tensor], Tensor]) -> "ClipGroup":
        """The same group with `function` applied to each tensor."""
        masks = tuple(mask.map(function) for mask in self.masks)
        labels = None if self.labels is None else function(self.labels)
        return replace(self, clips=function(self.clips), masks=masks, labels=labels)


@dataclass(frozen=True, kw_only=True)
class Trajectories:
    """Windows of episodes: observations, and what was done and found between them."""

    observations: UInt8[Tensor, "b t h w c"] | Float[Tensor, "b t d"]
    actions: Float[Tensor, "b t-1 a"] | Int[Tensor, "b t-1 a"]
    """Between two observations; integers count choices."""
    states: Float[Tensor, "b t s"] | None = None
    """What is true of the world at each observation."""
    rewards: Float[Tensor, "b t-1"] | None = None
    """The sum of what was received between two observations."""
    ends: Bool[Tensor, "b t-1"] | None = None
    """Whether the episode ended between two observations, at the later one."""
    valid: Bool[Tensor, "b t"] | None = None
    """False where an observation is padding; None when all count."""
    samples: tuple[int, ...] = ()
    """The position of each window in the run's order of samples."""

    @property
    def num_samples(self) -> int:
        """Windows."""
        return len(self.observations)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Trajectories":
        """The same windows with `function` applied to each tensor."""
        return map_tensors(self, function)


@dataclass(frozen=True, kw_only=True)
class Latents:
    """What a frozen encoder made of clips."""

    tokens: Float[Tensor, "b n d"]
    """All of a clip's tokens, or some of them."""
    labels: Int[Tensor, "b"] | Bool[Tensor, "b classes"] | None = None
    """The number of each clip's class, where it was known."""
    samples: tuple[int, ...] = ()
    """The position of each clip in the run's order of samples."""

    @property
    def num_samples(self) -> int:
        """Clips."""
        return len(self.tokens)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Latents":
        """The same latents with `function` applied to each tensor."""
        return map_tensors(self, function)


@dataclass(frozen=True, kw_only=True)
class Audio:
    """Stretches of sound of one length, as they were read: one channel, at one rate."""

    waveform: Float[Tensor, "b s"]
    """Sound pressure; full scale of what was recorded as integers is from -1 to 1."""
    heard: Int[Tensor, "b"]
    """Samples of each that were recorded; behind them lie zeros, where a recording is shorter."""
    labels: Int[Tensor, "b"] | Bool[Tensor, "b classes"] | None = None
    """The number of each one's class, or which of all classes are true of it, if labels are
    read."""
    samples: tuple[int, ...] = ()
    """The position of each recording in the run's order of samples."""

    @property
    def num_samples(self) -> int:
        """Recordings."""
        return len(self.waveform)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Audio":
        """The same sound with `function` applied to each tensor."""
        return map_tensors(self, function)


_ContentT = TypeVar("_ContentT")


@runtime_checkable
class Content(Protocol):
    """What an objective learns from in one forward pass: a frozen dataclass of tensors."""

    @property
    def num_samples(self) -> int:
        """Samples of the run's order that it holds."""
        ...

    def map(self: _ContentT, function: Callable[[Tensor], Tensor]) -> _ContentT:
        """The same content with `function` applied to each tensor, always in the same order."""
        ...


ContentT = TypeVar("ContentT", bound=Content)
ContentT_co = TypeVar("ContentT_co", bound=Content, covariant=True)


@dataclass(frozen=True, kw_only=True)
class MaskedClips:
    """Clips with their masks, grouped by clip length."""

    groups: tuple[ClipGroup, ...]

    @property
    def num_samples(self) -> int:
        """Clips over all groups."""
        return sum(len(group.clips) for group in self.groups)

    def map(self, function: Callable[[Tensor], Tensor]) -> "MaskedClips":
        """The same clips and masks with `function` applied to each tensor."""
        return MaskedClips(groups=tuple(group.map(function) for group in self.groups))


@dataclass(frozen=True, kw_only=True)
class MaskedAudio:
    """Sound, and the masks of each mask group over the tokens of its spectrograms."""

    audio: Audio
    masks: tuple[Masks, ...]

    @property
    def num_samples(self) -> int:
        """Recordings."""
        return self.audio.num_samples

    def map(self, function: Callable[[Tensor], Tensor]) -> "MaskedAudio":
        """The same sound and masks with `function` applied to each tensor."""
        masks = tuple(mask.map(function) for mask in self.masks)
        return MaskedAudio(audio=self.audio.map(function), masks=masks)


@dataclass(frozen=True, kw_only=True)
class LatentPair:
    """What the predictor said and what the target encoder saw, token by token.

    Targets carry no gradient. `valid` is False where a token is padding, None when all count.
    """

    predicted: Float[Tensor, "b g m d"]
    target: Float[Tensor, "b g m d"]
    valid: Bool[Tensor, "b g m"] | None = None


@dataclass(frozen=True, kw_only=True)
class LevelAhead:
    """What one level of a hierarchy says of the steps that come, and what they are.

    Axes: b batch, s steps ahead, p places of a step, d width.
    """

    predicted: Float[Tensor, "b s p d"]
    target: Float[Tensor, "b s p d"]
    last: Float[Tensor, "b p d"]
    """The last seen step, as the target encoder sees it that is given the seen ones alone."""
    frames: int
    """Pictures of a step."""


@dataclass(frozen=True, kw_only=True)
class GaussianPair(LatentPair):
    """One whose prediction is a Gaussian of independent numbers; `predicted` is its mean."""

    log_variance: Float[Tensor, "b g m d"]


@dataclass(frozen=True, kw_only=True)
class Losses:
    """A scalar to minimise, and what is reported beside it, detached."""

    total: Float[Tensor, ""]
    terms: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict[str, Tensor])
    """Its parts by name."""
    latents: Mapping[str, Float[Tensor, "_ _"]] = field(default_factory=dict[str, Tensor])
    """Some of the latents for the monitors, by name; the guard watches `target` for collapse."""
    samples: Int[Tensor, "_"] | None = None
    """The sample of the batch that each row of `latents` is of, the same for all names; None where
    rows are nobody's."""
