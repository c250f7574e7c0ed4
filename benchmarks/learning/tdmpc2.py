"""Whether TD-MPC2 learns to swing a pendulum up: returns beside those of acting at random.

    python -m benchmarks.learning.tdmpc2 --seeds 0 1

Trains the recipe as `wmt pretrain tdmpc2_pendulum` does, for each seed in a run directory of its
own; a run that is there is measured again. Every policy acts in the same episodes, which begin
alike and are none of those that were learned from. An episode of Pendulum-v1 has 200 steps of a
reward from -16 to 0.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from worldmodel_train.cli.objectives import trained_objective, untrained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.collection.act_out import EpisodeSeed, act_out
from worldmodel_train.collection.config import CollectedConfig
from worldmodel_train.collection.policies import RandomPolicy
from worldmodel_train.collection.world import World
from worldmodel_train.evaluation.machine import describe_machine
from worldmodel_train.protocols import HasPolicies, Policy
from worldmodel_train.recipe import Recipe, load_recipe
from worldmodel_train.training.run import pretrain

UNSEEN = 1 << 40  # a seed of episodes that no run has
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Returns of one seed."""

    acting: Sequence[float]
    """Of each episode that was learned from, in order."""
    unseen: Mapping[str, Sequence[float]]
    """Of the unseen episodes, by policy."""


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--episodes", type=int, default=10, help="unseen ones, for each policy")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("overrides", nargs="*", help="of the recipe, such as train.steps=600")
    arguments = parser.parse_intermixed_args()
    measured = {
        seed: measure(
            load_recipe(
                "tdmpc2_pendulum",
                [
                    f"train.seed={seed}",
                    f"run_dir={arguments.runs}/tdmpc2_pendulum_{seed}",
                    *arguments.overrides,
                ],
            ),
            episodes=arguments.episodes,
        )
        for seed in arguments.seeds
    }
    console = Console()
    console.print(unseen_table(measured))
    for seed, found in measured.items():
        shown = ", ".join(f"{value:.0f}" for value in found.acting)
        console.print(f"seed {seed}, returns while training: {shown}", highlight=False)
    console.print(describe_machine(CPU), highlight=False)


def measure(recipe: Recipe, *, episodes: int) -> Measured:
    """Trains a recipe, and lets what came of it act."""
    data = recipe.data
    assert isinstance(data, CollectedConfig)
    result = pretrain(pretrain_parts(recipe, "auto"))
    if result.exit_code or result.checkpoint is None:
        raise SystemExit(result.exit_code)
    world = data.open_world()
    policies = {
        "random": RandomPolicy(world.action_width),
        "untrained": greedy(untrained_objective(recipe)),
        "trained": greedy(trained_objective(result.checkpoint)),
    }
    return Measured(
        acting=_returns_of(sorted((recipe.run_path / "episodes").glob("*.npz"))),
        unseen={
            name: returns(world, policy, episodes=episodes, longest=data.longest)
            for name, policy in policies.items()
        },
    )


def greedy(objective: object) -> Policy[Any]:
    """What an objective does when it does its best."""
    assert isinstance(objective, torch.nn.Module)
    assert isinstance(objective, HasPolicies)
    objective.eval()
    return objective.greedy()


def returns(world: World, policy: Policy[Any], *, episodes: int, longest: int) -> list[float]:
    """Returns of the unseen episodes."""
    found: list[float] = []
    for number in range(episodes):
        seed = EpisodeSeed(seed=UNSEEN, number=number)
        rewards = act_out(world, policy, seed, longest=longest, device=CPU).rewards
        assert rewards is not None
        found.append(float(rewards.sum()))
    return found


def unseen_table(measured: Mapping[int, Measured]) -> Table:
    """Mean return of each policy and seed, its standard deviation, and the worst."""
    table = Table("seed", "policy", "mean", "std", "worst", title="returns of unseen episodes")
    for seed, found in measured.items():
        for name, values in found.unseen.items():
            numbers = (np.mean(values), np.std(values), np.min(values))
            table.add_row(str(seed), name, *(f"{number:.0f}" for number in numbers))
    return table


def _returns_of(paths: Iterable[Path]) -> list[float]:
    found: list[float] = []
    for path in paths:
        with np.load(path) as arrays:
            found.append(float(arrays["rewards"].sum()))
    return found


if __name__ == "__main__":
    main()
