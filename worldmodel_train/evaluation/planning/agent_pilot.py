"""A cognitive agent in the closed loop."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from numpy import ndarray

from worldmodel_train.agents.cognitive import CognitiveAgent, Mode
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.planning.pilots import as_array, of_all, seen_of


@dataclass(frozen=True, kw_only=True)
class AgentPilot:
    """Shows an agent what is seen of a world, and nothing else."""

    agent: CognitiveAgent[Any]
    world: GoalWorld
    memory: int = 1
    """Pictures that it is shown: the last ones."""

    def pursue(self, goals: Float[ndarray, "b d"], mode: Mode) -> "AgentPilot":
        """Itself, whose agent begins an episode towards the pictures of these states."""
        with frozen(self.agent.world_model) as device:
            pictures = torch.from_numpy(self.world.pictures(goals[:, None])).to(device)
            self.agent.pursue(pictures, mode, actions=self.world.action_width())
        return self

    def choose(
        self,
        states: Float[ndarray, "t b d"],
        actions: Float[ndarray, "t-1 b a"],
        *,
        which: Int[ndarray, "w"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """What the agent does next: in Mode-1 one action, so that it may look again after each."""
        with frozen(self.agent.world_model) as device:
            seen = seen_of(
                self.world, states[:, which], actions[:, which], last=self.memory, device=device
            )
            chosen = as_array(self.agent.act(*seen, count=count, which=which))
        return of_all(chosen, which, states.shape[1])
