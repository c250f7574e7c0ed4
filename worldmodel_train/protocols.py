"""What the parts offer each other."""

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
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
BeliefT = TypeVar("BeliefT", bound=Sized)
MemoryT = TypeVar("MemoryT", default=object)
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


@runtime_checkable
class Encoder(Protocol):
    """What probes need of a model: the latents of whole clips."""

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that `clips` become."""
        ...

    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """Latents, one per token, without gradient; where there is a teacher, the teacher's."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """What evaluation needs of what names videos: probes trained together, or one whole model."""

    def num_segments(self) -> int:
        """Clips of one video that are looked at together, one after another in time."""
        ...

    def probe_names(self) -> Sequence[str]:
        """What tells one probe from another, such as its learning rate."""
        ...

    def probabilities(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "p v classes"]:
        """Of each class, by each probe, for each video; `num_segments` clips are a video."""
        ...


@runtime_checkable
class LatentPredictor(Encoder, Protocol):
    """What pictures and evaluation need of a JEPA that predicts under masks."""

    def predict(self, group: ClipGroup) -> Sequence[LatentPair]:
        """Predicted and target latents, one pair for each mask group."""
        ...


@runtime_checkable
class OpenPredictor(LatentPredictor, Protocol):
    """A `LatentPredictor` that says what it predicts from, so that this can be changed first."""

    def encode_context(self, group: ClipGroup) -> Sequence[Float[Tensor, "b _ d"]]:
        """The latents `b k d` that the predictor is given of each mask group's context."""
        ...

    def predict_from(
        self, contexts: Sequence[Float[Tensor, "b _ d"]], group: ClipGroup
    ) -> Sequence[Float[Tensor, "b _ _ d"]]:
        """What it predicts from such latents, `b g m d` for each mask group.

        Of the group's clips only their size matters. What `predict` gives are those of
        `encode_context`.
        """
        ...


@runtime_checkable
class LatentRenderer(Protocol):
    """What shows the latents of a `LatentPredictor` as pixels, those that it predicts too.

    A tubelet is the pixels of a token, from 0 to 1.
    """

    def latent_model(self, device: torch.device) -> LatentPredictor:
        """The model whose latents it shows; another run has trained it."""
        ...

    def tubelets(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n p"]:
        """The tubelets of whole clips."""
        ...

    def decode(
        self, latents: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k p"]:
        """What it takes the tubelets of these tokens to be, given nothing but their latents."""
        ...

    def clips(
        self, tubelets: Float[Tensor, "b n p"], grid: TokenGrid
    ) -> UInt8[Tensor, "b t h w c"]:
        """Whole clips put together from tubelets."""
        ...


@runtime_checkable
class LatentDynamics(Protocol[BeliefT]):
    """What a planner needs of a model.

    A belief is what the model holds of now: its own affair, but for its length, which is the batch.
    """

    def encode(
        self,
        observations: UInt8[Tensor, "b t h w c"] | Float[Tensor, "b t d"],
        actions: Float[Tensor, "b t-1 a"],
    ) -> BeliefT:
        """The belief at the last observation; `actions` were taken between them."""
        ...

    def step(self, belief: BeliefT, action: Float[Tensor, "b a"]) -> BeliefT:
        """The belief after one action."""
        ...

    def rollout(
        self, belief: BeliefT, actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """The latent after each of `h` actions, for `s` candidates of each belief.

        All candidates go through the model together: it is called `h` times.
        """
        ...


Energy: TypeAlias = Callable[
    [Float[Tensor, "b s h d"], Float[Tensor, "b s h a"]], Float[Tensor, "b s"]
]
"""What a planner makes small: of the latents that a rollout gave, and of the actions."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The actions that were found, and their energy by the model."""

    actions: Float[Tensor, "b h a"]
    energy: Float[Tensor, " b"]

    def rest(self, taken: int) -> Float[Tensor, "b h a"]:
        """What is left when the first `taken` are done, as long as before: the last is held."""
        held = self.actions[:, -1:].expand(-1, taken, -1)
        return torch.cat((self.actions[:, taken:], held), dim=1)


@runtime_checkable
class Planner(Protocol):
    """Chooses actions by search, given any model."""

    def plan(
        self,
        dynamics: LatentDynamics[BeliefT],
        belief: BeliefT,
        energy: Energy,
        *,
        warm_start: Float[Tensor, "b h a"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Plan:
        """Actions of low energy for each belief, searched from `warm_start` on where it is given.

        `generator`, torch's global one by default, decides everything that is drawn.
        """
        ...


@runtime_checkable
class Policy(Protocol[MemoryT]):
    """Anything that acts. What it remembers of an episode is its own affair."""

    def act(
        self,
        observation: UInt8[Tensor, "b h w c"] | Float[Tensor, "b d"],
        memory: MemoryT | None,
        *,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "b a"], MemoryT]:
        """Actions from -1 to 1, and what to remember; `memory` is None where an episode begins.

        `generator` decides everything that is drawn.
        """
        ...


@runtime_checkable
class HasPolicies(Protocol):
    """An objective that acts on what it has learned; asked in evaluation mode, without gradients.

    Its `Config` says so before it is built, by `acts: ClassVar = True`.
    """

    def exploring(self) -> Policy:
        """Acts so as to learn more."""
        ...

    def greedy(self) -> Policy:
        """Acts as well as it can."""
        ...
