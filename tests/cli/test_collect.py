"""`wmt data collect`, and the policies of runs that it can be given."""

import pickle

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from worldmodel_train.cli.data import app
from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.cli.run_policy import RunPolicy
from worldmodel_train.collection.made_of import read_made_of
from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.workers import Actor
from worldmodel_train.collection.world import View
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported

SMALL = ["latent=16", "encoder_width=16", "width=16", "proposals=4"]
SEARCH = ["candidates=16", "elites=4", "iterations=2"]


def wmt(*arguments):
    return CliRunner().invoke(app, ["collect", *map(str, arguments)])


@pytest.mark.distributed
def test_a_world_is_collected_once_and_then_there(tmp_path):
    asked = [
        "envs/two_rooms", tmp_path, "--episodes", 3, "--longest", 4, "--policy", "walk",
        "--size", 16, "--world", "look.disc=[0, 0, 255]", "--world", "goal_radius=0.0",
    ]  # fmt: skip
    first = wmt(*asked, "--workers", 1)
    assert first.exit_code == 0, first.output
    assert first.stdout == f"{tmp_path}: 3 episodes of envs/two_rooms\n"
    again = wmt(*asked, "--workers", 2)
    assert again.stdout == f"{tmp_path}: 3 episodes of envs/two_rooms, 3 of which were there\n"
    made_of = read_made_of(tmp_path)
    assert made_of.options == {"look": {"disc": [0, 0, 255]}, "goal_radius": 0.0}
    assert (made_of.policy, made_of.size, made_of.longest) == ("walk", 16, 4)
    source = ShardsConfig(shards=f"{tmp_path}/*.tar")
    windows = TrajectoriesConfig(
        name="data/trajectories", sources=(source,), held_out=source, steps=5
    ).held_out_content(3)
    assert windows.observations.shape == (3, 5, 16, 16, 3)
    red, blue = windows.observations[..., 0], windows.observations[..., 2]
    assert (blue >= red).all()
    assert windows.states.shape == (3, 5, 2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["Pendulm-v1"], r"^Pendulm-v1: .*Did you mean"),
        (["envs/two_rooms", "--see", "vector"], "has observations Box.*see it as pixels"),
        (["envs/two_rooms", "--world", "layout.doors=2"], "layout has no 'doors'; use radius,"),
        (["envs/two_rooms", "--world", "door"], "write key.path=value"),
        (["Pendulum-v1", "--policy", "scripted"], "Pendulum-v1 offers no scripted policy"),
        (["Pendulum-v1", "--policy", "greedy"], "--policy greedy is no run; use random, walk"),
        (["Pendulum-v1", "--explore"], "--explore is for a run, and --policy random is none"),
    ],
)
def test_what_cannot_be_collected_is_refused_before_anything_is_written(tmp_path, asked, message):
    env, *options = asked
    found = wmt(env, tmp_path / "out", *options)
    assert isinstance(found.exception, ValueError)
    with pytest.raises(ValueError, match=message):
        raise found.exception
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that acts in Pendulum-v1, as it begins."""
    run_dir = tmp_path_factory.mktemp("run")
    small = [f"method.{key}" for key in SMALL] + [f"method.planner.{key}" for key in SEARCH]
    recipe = load_recipe("tdmpc2_pendulum", small)
    torch.manual_seed(0)
    state = build_objective(recipe).state_dict()
    return save_imported(CheckpointFolder(run_dir), state, resolved_yaml(recipe))


def test_a_run_acts_where_it_has_learned_to_the_same_each_time(run):
    policy = RunPolicy(checkpoint=run, explore=False)
    actor = Actor(env="Pendulum-v1", view=View(see="vector"), policy=policy, seed=0, longest=3)
    sent = pickle.loads(pickle.dumps(actor))
    assert sent.npz(0) == actor.npz(0)
    exploring = RunPolicy(checkpoint=run, explore=True)(actor.open())
    seen = torch.from_numpy(np.ones((1, 3), np.float32))
    actions = [
        one.act(seen, None, generator=torch.Generator().manual_seed(0))[0]
        for one in (policy(actor.open()), exploring)
    ]
    assert not torch.equal(*actions)


@pytest.mark.parametrize(
    ("env", "view", "message"),
    [
        ("CartPole-v1", View(see="vector"), r"acts by 1 numbers .*\(3,\), and CartPole-v1 has 2"),
        ("Pendulum-v1", View(see="pixels"), r"and Pendulum-v1 has 1 and \(64, 64, 3\); use its"),
    ],
)
def test_a_run_of_another_world_is_refused(run, env, view, message):
    policy = RunPolicy(checkpoint=run, explore=False)
    with pytest.raises(ValueError, match=message):
        policy(open_world(env, view))


def test_a_run_that_does_not_act_is_refused(tmp_path):
    recipe = load_recipe("demo", ["method.encoder.size.depth=1", "method.encoder.size.width=24"])
    state = build_objective(recipe).state_dict()
    checkpoint = save_imported(CheckpointFolder(tmp_path), state, resolved_yaml(recipe))
    with pytest.raises(ValueError, match=r"--policy: jepa/vjepa of .* has no policy; use a run"):
        RunPolicy(checkpoint=checkpoint, explore=False)(open_world("Pendulum-v1"))
