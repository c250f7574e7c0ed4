"""Which of several episodes is kept: that on which an ensemble disagrees most."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from worldmodel_train.collection.ensemble import Ensemble, Transitions
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.protocols import LatentDynamics

Judge: TypeAlias = Callable[[Episode], float]
"""How much there is to learn from an episode."""
JudgeOf: TypeAlias = Callable[[], Judge]
"""Makes one; can be sent to another process, and opens there what is large."""

_AT_ONCE = 256  # frames in a call of the encoder


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How one of several candidates is chosen."""

    candidates: int
    """Episodes that are acted out for each that is kept."""
    judge_of: JudgeOf


@dataclass(frozen=True, kw_only=True)
class FrameLatents:
    """What a model holds of single frames."""

    model: LatentDynamics[Any]
    action_width: int
    """Of the model's actions, of which none comes before a single frame."""

    @torch.no_grad()
    def of(self, frames: Shaped[np.ndarray, "t ..."]) -> Float[Tensor, "t d"]:
        """The latent of each frame by itself."""
        parts = torch.tensor(frames).split(_AT_ONCE)
        nothing = (torch.empty(len(part), 0, self.action_width) for part in parts)
        beliefs = map(self.model.encode, (part[:, None] for part in parts), nothing)
        return torch.cat([self.model.latent(belief).float() for belief in beliefs])

    def transitions(self, episodes: Iterable[Episode]) -> Transitions:
        """Every action of the episodes; raises ValueError where there is none."""
        found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for number, episode in enumerate(episodes):
            latents, actions = self.of(_frames(episode)), _actions(episode)
            found.append((latents[:-1], actions, latents[1:], torch.full((len(actions),), number)))
        if not any(len(actions) for _, actions, _, _ in found):
            raise ValueError("an ensemble learns from what was done, and no episode has an action")
        latents, actions, following, episode = map(torch.cat, zip(*found, strict=True))
        return Transitions(latents=latents, actions=actions, following=following, episode=episode)


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Judges by the mean over an episode's actions of how much an ensemble disagrees."""

    latents: FrameLatents
    ensemble: Ensemble

    def __call__(self, episode: Episode) -> float:
        """Raises ValueError where it is no number."""
        latents = self.latents.of(_frames(episode))[:-1]
        found = float(self.ensemble.disagreement(latents, _actions(episode)).mean())
        if not np.isfinite(found):
            raise ValueError(f"the ensemble disagrees by {found}; choose by a run without NaN")
        return found


def _frames(episode: Episode) -> Shaped[np.ndarray, "t ..."]:
    if episode.observations is None:
        raise ValueError(
            "the observations of an episode lie in a video, which no ensemble reads; choose by a "
            "run whose episodes have them in <key>.npz"
        )
    return episode.observations


def _actions(episode: Episode) -> Float[Tensor, "n a"]:
    return torch.tensor(episode.actions).float()
