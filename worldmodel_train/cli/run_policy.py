"""The policy of a run that acts, for whoever lets it act elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from worldmodel_train.cli.objectives import known_facts, load_part
from worldmodel_train.collection.world import World
from worldmodel_train.models.frozen import WHOLE, FrozenPart, PartConfig
from worldmodel_train.protocols import HasPolicies, Policy
from worldmodel_train.recipe import load_stored_recipe
from worldmodel_train.training.checkpoints.files import RECIPE


@dataclass(frozen=True, kw_only=True)
class RunPolicy:
    """Makes the policy of a checkpoint; small, so that it can be sent to another process."""

    checkpoint: Path
    explore: bool
    """Whether it acts so as to learn more, and not as well as it can."""

    def __call__(self, world: World) -> Policy[Any]:
        """The policy; raises ValueError where the run has none, or none for such a world."""
        recipe = load_stored_recipe(self.checkpoint / RECIPE)
        objective = self.frozen().on(torch.device("cpu"))
        if not isinstance(objective, HasPolicies):
            raise ValueError(
                f"--policy: {recipe.method.name} of {self.checkpoint} has no policy; use a run "
                "that acts, such as one of agents/tdmpc2, or random, walk or scripted"
            )
        known = known_facts(recipe, self.checkpoint).episodes
        assert known is not None, "what acts learns from episodes"
        theirs = (known.observation, known.action_width)
        ours = (world.observation, world.action_width)
        if theirs != ours:
            raise ValueError(
                f"--policy: {self.checkpoint} acts by {theirs[1]} numbers on observations of "
                f"{theirs[0]}, and {world.name} has {ours[1]} and {ours[0]}; use its own world, "
                "and --see as it was trained"
            )
        return objective.exploring() if self.explore else objective.greedy()

    def frozen(self) -> FrozenPart:
        """All of the run's objective, in evaluation mode."""
        return load_part(PartConfig(checkpoint=self.checkpoint, part=WHOLE), key="--policy")
