"""What the parts offer each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor, nn
from typing_extensions import TypeVar

from worldmodel_train.types import (
    ClipGroup,
    Clips,
    Content,
    ContentT_co,
    LatentPair,
    Losses,
    Masks,
    TokenGrid,
)

ContentT_contra = TypeVar("ContentT_contra", bound=Content, contravariant=True)
ReadT_contra = TypeVar("ReadT_contra", contravariant=True, default=Clips)


@dataclass(frozen=True, kw_only=True)
class EmaPair:
    """A teacher that follows a student of the same structure."""

    student: nn.Module
    teacher: nn.Module


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that share optimizer settings."""

    name: str
    parameters: Sequence[nn.Parameter]
    weight_decay: bool


@runtime_checkable
class MaskSampler(Protocol):
    """Draws context and target tokens for a batch."""

    def sample(self, grid: TokenGrid, *, seed: int, step: int, samples: Sequence[int]) -> Masks:
        """Masks for `samples`, a pure function of the arguments.

        What the whole batch shares (block sizes) is drawn from (seed, step); what is a sample's own
        (block places) from (seed, sample), so that a run can be repeated from any step.
        """
        ...


@runtime_checkable
class Preparation(Protocol[ContentT_co, ReadT_contra]):
    """Makes what an objective takes of what a micro-batch holds, in the process that read it."""

    def __call__(self, read: Sequence[ReadT_contra], /, *, seed: int, step: int) -> ContentT_co:
        """The content, a pure function of the arguments; `read` has one item for each shape.

        Of clips these are their lengths.
        """
        ...


@runtime_checkable
class Objective(Protocol[ContentT_contra]):
    """What training needs of any method; implementations are `nn.Module`s."""

    def training_losses(self, content: ContentT_contra) -> Losses:
        """The loss of what one batch holds."""
        ...

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Teachers and the students they follow; training updates them after each step."""
        ...

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All trainable parameters, each once."""
        ...


@runtime_checkable
class HasPictures(Protocol[ContentT_contra]):
    """An objective that draws what it makes of fixed clips while it trains."""

    def pictures(self, content: ContentT_contra) -> Mapping[str, UInt8[Tensor, "h w c"]]:
        """Pictures by name; called in evaluation mode, without gradients, by all ranks."""
        ...


@runtime_checkable
class LatentPredictor(Protocol):
    """What pictures, probes and evaluation need of a JEPA."""

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that `clips` become."""
        ...

    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """Latents of the target encoder, one per token, without gradient."""
        ...

    def predict(self, group: ClipGroup) -> Sequence[LatentPair]:
        """Predicted and target latents, one pair for each mask group."""
        ...
