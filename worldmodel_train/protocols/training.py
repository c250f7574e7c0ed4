"""What training needs of a method."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor, nn
from typing_extensions import TypeVar

from worldmodel_train.types import Clips, Content, ContentT_co, Losses, Masks, TokenGrid

ContentT_contra = TypeVar("ContentT_contra", bound=Content, contravariant=True)
ReadT_contra = TypeVar("ReadT_contra", contravariant=True, default=Clips)


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
    decay_scale: float = 1.0
    """Its weight decay, where it decays, as a multiple of `optim.weight_decay`."""


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
class FollowsStep(Protocol):
    """An objective whose loss changes over a run, as a pure function of the step.

    Until it is told a step, as when only measured, its loss is that of the end of such changes.
    """

    def begin_step(self, step: int) -> None:
        """Takes note of the optimizer steps taken so far; before each step, on all ranks alike."""
        ...


@runtime_checkable
class AfterStep(Protocol):
    """An objective that puts its weights in order after each optimizer step.

    It sees whole weights, so strategies that cut them up refuse it.
    """

    def after_step(self) -> None:
        """Changes weights in place, such as columns back to norm 1; without gradients."""
        ...


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One loss of several in a step, and what it trains."""

    name: str
    groups: Sequence[str]
    """Names of the parameter groups that it trains; each group is trained by one phase."""
    losses: Callable[[], Losses]
    """Called once the phases before have taken their step."""


@runtime_checkable
class HasPhases(Protocol[ContentT_contra]):
    """An objective whose step is several losses in order, such as a critic's and an actor's.

    Each takes a step of the one AdamW over its own groups; to all other parameters its loss is
    constant, whatever gradient it gives them. `training_losses` has all of them at once, for those
    who only measure. Strategies that cut weights up refuse it, and so do several forward passes a
    step.
    """

    def phases(self, content: ContentT_contra) -> Sequence[Phase]:
        """The phases of one step, always the same ones."""
        ...


@runtime_checkable
class HasPictures(Protocol[ContentT_contra]):
    """An objective that draws what it makes of fixed clips while it trains."""

    def pictures(self, content: ContentT_contra) -> Mapping[str, UInt8[Tensor, "h w c"]]:
        """Pictures by name; called in evaluation mode, without gradients, by all ranks."""
        ...
