"""Objectives that hold parts of other runs are those that were trained."""

import pytest
import torch

from worldmodel_train.cli.objectives import trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.collection.act_out import EpisodeSeed, act_out
from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.policies import RandomPolicy
from worldmodel_train.collection.world import View
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.protocols import RendersFrames
from worldmodel_train.recipe import load_recipe
from worldmodel_train.training.run import pretrain

SMALL = (
    "train.micro_batch=8", "train.global_batch=8", "train.accelerator=cpu",
    "optim.lr={name: constant, value: 1e-3}", "data.loader.workers=0",
)  # fmt: skip
MODEL = ("method.sigreg.directions=16", "method.encoder.patch=32")


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trains a shipped recipe for some steps, in a folder, on a few short walks."""
    monkeypatch.setenv("WMT_DATA", str(tmp_path))
    world = open_world("envs/two_rooms", View(see="pixels", size=32), {"goal_radius": 0.0})
    walks = (
        act_out(
            world, RandomPolicy(2), EpisodeSeed(seed=0, number=number),
            longest=4, device=torch.device("cpu"),
        )
        for number in range(12)
    )  # fmt: skip
    write_episodes(tmp_path / "two_rooms", walks)

    def trained(recipe, folder, steps, *more):
        more = (*SMALL, "data.held_out=null", "evaluation=[]", f"train.steps={steps}", *more)
        run = load_recipe(recipe, (*more, f"run_dir={tmp_path / folder}"))
        return pretrain(pretrain_parts(run, "auto"))

    return trained


@pytest.mark.slow
def test_a_decoder_of_a_model_that_was_trained_on_is_refused(trained, tmp_path):
    trained("leworldmodel_two_rooms", "model", 1, *MODEL)
    whole = f"method.world_model={{checkpoint: {tmp_path / 'model'}, part: .}}"
    decoder = trained("decoder_two_rooms", "decoder", 1, whole).checkpoint
    assert isinstance(trained_objective(decoder), RendersFrames)
    trained("leworldmodel_two_rooms", "model", 2, *MODEL)
    message = r"decoder/.*step_0*1 was trained on another world_model \(.*method\.world_model named"
    with pytest.raises(CheckpointError, match=message):
        trained_objective(decoder)
