"""Objectives as recipes describe them, with the parts of other runs that they hold."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from worldmodel_train.facts import DataFacts, PartShapes
from worldmodel_train.models.frozen import WHOLE, FrozenPart, PartConfig, fingerprints
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.protocols import Objective
from worldmodel_train.recipe import Recipe, load_stored_recipe
from worldmodel_train.training.checkpoints.files import RECIPE, read_meta
from worldmodel_train.training.checkpoints.folder import find_checkpoint
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.checkpoints.restore import load_weights, refuse_other_parts
from worldmodel_train.training.randomness import seed_weights
from worldmodel_train.types import Content


def build_objective(recipe: Recipe, opened: DataFacts | None = None) -> Objective[Content]:
    """The recipe's objective; its own weights are drawn from torch's global generator.

    Without what is known of the data, it is opened.

    Raises:
        ValueError: A part of another run cannot be loaded.
    """
    frozen = {
        name: load_part(part, key=f"method.{name}")
        for name, part in recipe.method
        if isinstance(part, PartConfig)
    }
    return recipe.method.build(opened or recipe.data.open_facts(), **frozen)


def untrained_objective(recipe: Recipe) -> Objective[Content]:
    """The objective with the weights that a run of this recipe starts from."""
    seed_weights(recipe.train.seed)
    return build_objective(recipe)


def trained_objective(checkpoint: Path) -> nn.Module:
    """The objective of a checkpoint, with its weights, on the CPU.

    Raises:
        ValueError: Its recipe has no such objective, and as `load_trained`.
    """
    # neither the device nor the random numbers of who asks are touched
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        recipe = load_stored_recipe(checkpoint / RECIPE)
        objective = build_objective(recipe, known_facts(recipe, checkpoint))
    assert isinstance(objective, nn.Module)
    load_trained(objective, checkpoint)
    return objective


def load_trained(objective: nn.Module, checkpoint: Path) -> None:
    """Gives an objective of a checkpoint's recipe its weights.

    Raises:
        ValueError: The checkpoint is damaged, or a part of another run is not what it was trained
            on: a run directory may have gone on since.
    """
    begun = read_meta(checkpoint).frozen
    if begun:  # else it has no such parts, or was imported, or is older than fingerprints
        refuse_other_parts(checkpoint, begun, fingerprints(objective))
    load_weights(objective, read_weights(checkpoint))


def known_facts(recipe: Recipe, checkpoint: Path) -> DataFacts:
    """What a checkpoint knows of its run's data, which may have gone since.

    One of episodes that is older than this knowledge has the data opened.
    """
    if recipe.data.gives != "trajectories":
        return recipe.data.facts()
    episodes = read_meta(checkpoint).episodes
    if episodes is None:
        return recipe.data.open_facts()
    return replace(recipe.data.facts(), episodes=episodes)


def load_part(config: PartConfig, *, key: str) -> FrozenPart:
    """A part of another run, frozen.

    Raises:
        CheckpointError: There is no such checkpoint or part, named by `key`.
    """
    checkpoint = find_checkpoint(config.checkpoint, f"{key}.checkpoint")
    part = _part(trained_objective(checkpoint), config, checkpoint, key)
    origin, episodes = _origin(config, checkpoint), read_meta(checkpoint).episodes
    return FrozenPart(part, origin=origin, episodes=episodes)


def part_shapes(config: PartConfig, *, key: str) -> PartShapes:
    """The same part without its numbers, on torch's `meta` device: no weights are loaded.

    Raises:
        CheckpointError: There is no such checkpoint or part, named by `key`.
    """
    checkpoint = find_checkpoint(config.checkpoint, f"{key}.checkpoint")
    recipe = load_stored_recipe(checkpoint / RECIPE)
    facts = known_facts(recipe, checkpoint)
    with torch.device("meta"):
        objective = build_objective(recipe, facts)
    assert isinstance(objective, nn.Module)
    network = _part(objective, config, checkpoint, key)
    return PartShapes(network, _origin(config, checkpoint))


def _origin(config: PartConfig, checkpoint: Path) -> str:
    return str(checkpoint) if config.part == WHOLE else f"{config.part} of {checkpoint}"


def _part(objective: nn.Module, config: PartConfig, checkpoint: Path, key: str) -> nn.Module:
    try:
        return objective.get_submodule(config.module)
    except AttributeError:
        known = ", ".join(name for name, _ in objective.named_children())
        raise CheckpointError(
            f"{key}.part={config.part} is no part of {checkpoint}, which has {known}; "
            f"{WHOLE} is all of it"
        ) from None
