"""A distance of latents that is learned: how many actions lie between them in a run's episodes.

As far apart as one latent is from another in time is a measure that knows of walls, where that of
their numbers does not (after semi-parametric topological memory, arXiv 1803.00653, and Dynamical
Distance Learning, arXiv 1907.08225).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.agents.goal_networks import Critic
from worldmodel_train.agents.regression import Regression, regress
from worldmodel_train.config import StrictConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.facts import good_episodes
from worldmodel_train.evaluation.planning.pilots import latents_of_pictures
from worldmodel_train.protocols import LatentDynamics


class Config(StrictConfig):
    """How a temporal distance is learned."""

    frames: int = Field(default=20_000, ge=2)
    """Of the first episodes of the run's data, at most."""
    pairs: int = Field(default=100_000, ge=1)
    """Of an earlier and a later frame."""
    other: float = Field(default=0.25, ge=0, lt=1)
    """Share of the pairs whose later frame is one of any episode. They count as far apart as the
    longest episode is long: most are farther than any pair that an episode has."""
    regression: Regression = Regression()


class TemporalDistance(nn.Module):
    """The logarithm of 1 and the actions between latents and goals, as far as it was taught."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.critic = Critic(latents=latents, width=256, features=16)

    def forward(
        self, latents: Float[Tensor, "*b d"], goals: Float[Tensor, "*#b d"]
    ) -> Float[Tensor, "*b"]:
        """In fp32."""
        return self.critic(latents, goals)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What is learned from; latents of patches are too large to be laid beside each other."""

    latents: Float[Tensor, "f d"]
    """Of all frames."""
    earlier: Int64[Tensor, "n"]
    """The frame of each pair that is first."""
    later: Int64[Tensor, "n"]
    actions: Float[Tensor, "n"]
    """Between them."""


class _OfFrames(nn.Module):
    """The distance of frames that are given by their numbers."""

    def __init__(self, distance: "TemporalDistance", latents: Float[Tensor, "f d"]) -> None:
        super().__init__()
        self.distance = distance
        self.register_buffer("latents", latents, persistent=False)

    latents: Tensor

    def forward(self, earlier: Int64[Tensor, "n"], later: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        return self.distance(self.latents[earlier], self.latents[later])


def learned_distance(
    model: LatentDynamics[Any], data: TrajectoriesConfig, config: Config, *, seed: int
) -> TemporalDistance:
    """The distance on the model's latents, where these are.

    Raises:
        ValueError: No two frames follow one another.
    """
    episodes = list(latents_of_episodes(model, data, frames=config.frames))
    generator = torch.Generator().manual_seed(seed)
    pairs = drawn_pairs(episodes, config.pairs, other=config.other, generator=generator)
    device = pairs.latents.device
    forked = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked), torch.enable_grad():
        torch.manual_seed(seed)
        distance = TemporalDistance(pairs.latents.shape[1]).to(device)
        network, targets = _OfFrames(distance, pairs.latents), pairs.actions.log1p()
        regress(network, (pairs.earlier, pairs.later), targets, config.regression, generator)
    return distance.requires_grad_(requires_grad=False).eval()


def latents_of_episodes(
    model: LatentDynamics[Any], data: TrajectoriesConfig, *, frames: int
) -> Iterator[Float[Tensor, "t d"]]:
    """Of each frame by itself, as goals are seen; frames are left out as in windows.

    Raises:
        ValueError: Frames lie in videos.
    """
    read = 0
    for episode in good_episodes(data):
        if episode.observations is None:
            raise ValueError(
                "planning.distance=learned learns from frames in <key>.npz, and these episodes "
                "have theirs in videos; use l2"
            )
        seen = episode.observations[:: data.frameskip]
        read += len(seen)
        if read > frames:
            return
        width = data.frameskip * episode.actions.shape[1]
        yield latents_of_pictures(model, torch.tensor(seen), action_width=width)


def drawn_pairs(
    episodes: Sequence[Float[Tensor, "_ d"]],
    count: int,
    *,
    other: float,
    generator: torch.Generator,
) -> Pairs:
    """Pairs of frames that episodes have in this order, and, of this share, of two episodes.

    Raises:
        ValueError: No two frames follow one another.
    """
    lengths = torch.tensor([len(episode) for episode in episodes])
    if not len(lengths) or lengths.max() < 2:
        raise ValueError(
            "planning.distance=learned learns from frames of one episode, and none of those that "
            "were read has two; give longer episodes, or more planning.learned.frames"
        )
    starts = lengths.cumsum(0) - lengths
    episode = torch.randint(len(lengths), (count,), generator=generator)
    ends = lengths[episode, None]
    within = (torch.rand(count, 2, generator=generator) * ends).long().sort(dim=1).values
    earlier, later = (starts[episode, None] + within).unbind(dim=1)
    elsewhere = torch.rand(count, generator=generator) < other
    anywhere = torch.randint(int(lengths.sum()), (count,), generator=generator)
    actions = torch.where(elsewhere, lengths.max() - 1, later - earlier)
    latents = torch.cat(list(episodes))
    return Pairs(
        latents=latents,
        earlier=earlier.to(latents.device),
        later=torch.where(elsewhere, anywhere, later).to(latents.device),
        actions=actions.to(latents),
    )
