"""What agents that see vectors ask of episodes."""

from jaxtyping import Float
from torch import Tensor

from worldmodel_train.facts import EpisodeFacts
from worldmodel_train.types import Trajectories


def require_vectors(method: str, episodes: EpisodeFacts, observations: int, actions: int) -> None:
    """Raises ValueError unless the episodes have vectors and actions of these widths."""
    if len(episodes.observation) != 1 or episodes.discrete_actions:
        raise ValueError(
            f"{method} learns from vectors and continuous actions, and the episodes have "
            f"observations of shape {episodes.observation} and "
            f"{'discrete' if episodes.discrete_actions else 'continuous'} actions"
        )
    for key, said, found in (
        ("observations", observations, episodes.observation[0]),
        ("actions", actions, episodes.action_width),
    ):
        if said != found:
            raise ValueError(f"method.{key}={said}, but the episodes have {found}; use {found}")
    if episodes.steps < 2:
        raise ValueError(f"data.steps={episodes.steps} has no action; use 2 or more")


def rewards_of(method: str, content: Trajectories) -> Float[Tensor, "b t"]:
    """The rewards of whole windows; raises ValueError where there are none, or padding."""
    if content.rewards is None:
        raise ValueError(f"{method} learns from rewards, and the episodes have none")
    if content.valid is not None:
        raise ValueError(f"{method} takes windows without padding; cut them equally")
    return content.rewards
