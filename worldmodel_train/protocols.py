"""What the parts offer each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor, nn

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


@dataclass(frozen=True, kw_only=True)
class EmaPair:
    """A teacher that follows a student of the same structure."""

    student: nn.Module
    teacher: nn.Module
    momentum: float | None = None
    """Its own, the same in every step; None follows the schedule `optim.ema`."""


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that share optimizer settings."""

    name: str
    parameters: Sequence[nn.Parameter]
    weight_decay: bool
    rate_scale: float = 1.0
    """The group's learning rate as a multiple of `optim.lr`."""


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
class Preparation(Protocol[ContentT_co]):
    """Makes what an objective takes of a micro-batch's clips, in the process that read them."""

    def __call__(self, clips: Sequence[Clips], *, seed: int, step: int) -> ContentT_co:
        """The content, a pure function of the arguments; `clips` has one item for each length."""
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
class AfterStep(Protocol):
    """An objective that puts its weights in order after each optimizer step.

    It sees whole weights, so strategies that cut them up refuse it.
    """

    def after_step(self) -> None:
        """Changes weights in place, such as columns back to norm 1; without gradients."""
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
