"""What plans and acts, and what it needs of a model."""

from collections.abc import Callable, Sized
from dataclasses import dataclass
from inspect import signature
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from typing_extensions import TypeVar

BeliefT = TypeVar("BeliefT", bound=Sized)
MemoryT = TypeVar("MemoryT", default=object)


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

    def latent(self, belief: BeliefT) -> Float[Tensor, "b d"]:
        """What `rollout` would say of now: a goal is what was seen of it."""
        ...

    def intervene(self, belief: BeliefT, latent: Float[Tensor, "b d"]) -> BeliefT:
        """The belief with this for its `latent`, all else being as it was."""
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


def asks_for_states(model: object) -> bool:
    """Whether its `encode` takes states beside observations, so that pictures alone do not do."""
    encode = getattr(model, "encode", None)
    return encode is not None and "states" in signature(encode).parameters


@runtime_checkable
class RendersFrames(Protocol):
    """What shows the latents of a `LatentDynamics` as pictures, those that it foretells too."""

    def frame_size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        ...

    def render(self, latents: Float[Tensor, "b d"]) -> UInt8[Tensor, "b h w c"]:
        """The picture that each of these latents is taken for."""
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
