"""Beliefs that are what was last seen and done, and where plans lead from them."""

from dataclasses import dataclass, replace

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.protocols import BeliefT, LatentDynamics
from worldmodel_train.types import TokenGrid, Trajectories, map_tensors


@dataclass(frozen=True)
class History:
    """The last few latents, and the actions between them."""

    latents: Float[Tensor, "b k d"]
    actions: Float[Tensor, "b k-1 a"]

    def __len__(self) -> int:
        """The batch."""
        return len(self.latents)

    def repeated(self, times: int) -> "History":
        """Each so many times in a row."""
        return map_tensors(self, lambda part: _in_a_row(part, times))

    def last(self, latents: int) -> "History":
        """At most so many of them, the last ones."""
        kept = self.latents[:, -latents:]
        return History(kept, self.actions[:, self.actions.shape[1] + 1 - kept.shape[1] :])

    def with_now(self, latent: Float[Tensor, "b d"]) -> "History":
        """The same past with this for the last latent."""
        return replace(self, latents=torch.cat((self.latents[:, :-1], latent[:, None]), dim=1))


@dataclass(frozen=True)
class SeenFrames:
    """The last few frames' latents, the actions between them, and the states in them."""

    latents: Float[Tensor, "b k n d"]
    actions: Float[Tensor, "b k-1 a"]
    states: Float[Tensor, "b k s"]
    """Of no numbers where none are told."""
    grid: TokenGrid
    """The tokens of one frame."""

    def __len__(self) -> int:
        """The batch."""
        return len(self.latents)

    def repeated(self, times: int) -> "SeenFrames":
        """Each so many times in a row."""
        return map_tensors(self, lambda part: _in_a_row(part, times))

    def last(self, frames: int) -> "SeenFrames":
        """At most so many of them, the last ones."""
        kept = self.latents[:, -frames:]
        actions = self.actions[:, self.actions.shape[1] + 1 - kept.shape[1] :]
        return SeenFrames(kept, actions, self.states[:, -frames:], self.grid)

    def now(self) -> Float[Tensor, "b d"]:
        """The latents of the last frame, those of all tokens behind each other."""
        return self.latents[:, -1].flatten(1)

    def with_now(self, latents: Float[Tensor, "b d"]) -> "SeenFrames":
        """The same past with these for the last frame's latents."""
        last = latents.unflatten(1, self.latents.shape[2:])[:, None]
        return replace(self, latents=torch.cat((self.latents[:, :-1], last), dim=1))


def roll_out(
    model: LatentDynamics[BeliefT], repeated: BeliefT, actions: Float[Tensor, "b s h a"]
) -> Float[Tensor, "b s h d"]:
    """The latent after each action, by one step of all candidates together after another.

    `repeated` has each belief as many times in a row as there are candidates.
    """
    now, latents = repeated, []
    for action in rearrange(actions, "b s h a -> h (b s) a"):
        now = model.step(now, action)
        latents.append(model.latent(now))
    return rearrange(torch.stack(latents), "h (b s) d -> b s h d", s=actions.shape[1])


def rollout_energy(
    model: LatentDynamics[BeliefT], belief: BeliefT, context: Trajectories, target: Trajectories
) -> Float[Tensor, "b"]:
    """The squared error of the target's latents, rolled out of a belief by the context's actions.

    The target's observations are each seen by itself.
    """
    rolled = model.rollout(belief, context.actions[:, None])[:, 0]
    nothing_done = context.actions[:, :0]
    seen = [
        model.latent(model.encode(one, nothing_done))
        for one in target.observations[:, 1:].split(1, dim=1)
    ]
    return (rolled - torch.stack(seen, dim=1)).square().flatten(1).mean(dim=1)


def _in_a_row(part: Tensor, times: int) -> Tensor:
    return repeat(part, "b ... -> (b s) ...", s=times)
