"""What chooses episodes for a run that is still to come: an ensemble on the encoder of another."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from worldmodel_train.cli.objectives import known_facts, load_part
from worldmodel_train.collection.disagreement import Disagreement, FrameLatents
from worldmodel_train.collection.ensemble import Ensemble, fitted, one_thread
from worldmodel_train.collection.world import World
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.facts import good_episodes
from worldmodel_train.models.frozen import WHOLE, FrozenPart, PartConfig
from worldmodel_train.protocols import LatentDynamics
from worldmodel_train.recipe import load_stored_recipe
from worldmodel_train.training.checkpoints.files import RECIPE

KEY = "--chosen-by"


@dataclass(frozen=True, kw_only=True)
class RunJudge:
    """Makes the judge of a checkpoint; small, so that it can be sent to another process."""

    checkpoint: Path
    action_width: int
    """Of the run's actions."""
    ensemble: Ensemble

    def __call__(self) -> Disagreement:
        """The judge."""
        latents = _latents(_frozen(self.checkpoint), self.checkpoint, self.action_width)
        return Disagreement(latents=latents, ensemble=self.ensemble)


def fitted_judge(checkpoint: Path, world: World) -> tuple[RunJudge, str]:
    """Judges by an ensemble fitted to the episodes of a run, and the digest of all that decides it.

    Raises:
        ValueError: The run has learned from no such episodes, or is no model of what comes next.
    """
    recipe = load_stored_recipe(checkpoint / RECIPE)
    data = recipe.data
    if not isinstance(data, TrajectoriesConfig):
        raise ValueError(
            f"{KEY}: {checkpoint} was trained on {data.name}; use a run of data/trajectories"
        )
    known = known_facts(recipe, checkpoint).episodes
    assert known is not None, "what was learned from are episodes"
    theirs = (known.observation, known.action_width // data.frameskip)
    ours = (world.observation, world.action_width)
    if theirs != ours:
        raise ValueError(
            f"{KEY}: {checkpoint} has seen observations of {theirs[0]} and actions of {theirs[1]} "
            f"numbers, and {world.name} has {ours[0]} and {ours[1]}; use a run of its own world, "
            "and --see and --size as it was trained"
        )
    frozen = _frozen(checkpoint)
    latents = _latents(frozen, checkpoint, known.action_width)
    with one_thread():
        shown = latents.transitions(good_episodes(data))
    ensemble = fitted(shown)
    made = FrozenPart(ensemble, origin="the ensemble").fingerprint
    digest = hashlib.sha256(f"{frozen.fingerprint} {made}".encode()).hexdigest()
    judge = RunJudge(checkpoint=checkpoint, action_width=known.action_width, ensemble=ensemble)
    return judge, digest


def _frozen(checkpoint: Path) -> FrozenPart:
    return load_part(PartConfig(checkpoint=checkpoint, part=WHOLE), key=KEY)


def _latents(frozen: FrozenPart, checkpoint: Path, action_width: int) -> FrameLatents:
    model = frozen.on(torch.device("cpu"))
    if not isinstance(model, LatentDynamics):
        raise ValueError(
            f"{KEY}: {checkpoint} predicts nothing of what actions lead to; use a run such as one "
            "of jepa/leworldmodel"
        )
    return FrameLatents(model=model, action_width=action_width)
