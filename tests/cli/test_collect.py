"""`wmt data collect`, and the policies of runs that it can be given."""

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from worldmodel_train.cli.data import app
from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.cli.run_judge import fitted_judge
from worldmodel_train.cli.run_policy import RunPolicy
from worldmodel_train.collection.disagreement import Choice
from worldmodel_train.collection.ensemble import Fitting, fitted
from worldmodel_train.collection.episode_files import episode_in
from worldmodel_train.collection.made_of import read_made_of
from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.policies import walk
from worldmodel_train.collection.workers import Actor
from worldmodel_train.collection.world import View
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.write import write_episodes
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
        (["Pendulum-v1", "--candidates", "2"], "--candidates 2 are for --chosen-by RUN; give"),
        (["Pendulum-v1", "--chosen-by", "nowhere"], "--chosen-by=nowhere is neither a checkp"),
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


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A run that has learned nothing yet from a folder of two rooms; its ensembles learn little."""
    monkeypatch = pytest.MonkeyPatch()
    few = partial(fitted, fitting=Fitting(steps=2))
    monkeypatch.setattr("worldmodel_train.cli.run_judge.fitted", few)
    folder = tmp_path_factory.mktemp("seen")
    actor = Actor(
        env="envs/two_rooms", view=View(see="pixels", size=16), policy=walk, seed=0, longest=6,
        options={"goal_radius": 0.0},
    )  # fmt: skip
    write_episodes(folder, [episode_in(actor.npz(number), number) for number in range(3)])
    changes = [
        "method.encoder.patch=16", "method.encoder.size.width=32", "method.projector_width=16",
        f"data.sources=[{{name: rooms, shards: '{folder}/*.tar'}}]", "data.held_out=null",
        "evaluation=[]",
    ]  # fmt: skip
    recipe = load_recipe("leworldmodel_two_rooms", changes)
    torch.manual_seed(0)
    state = build_objective(recipe).state_dict()
    yield save_imported(CheckpointFolder(folder / "run"), state, resolved_yaml(recipe))
    monkeypatch.undo()


def test_what_is_chosen_is_chosen_again_by_another_process_and_by_no_other_run(seen, run):
    world = open_world("envs/two_rooms", View(see="pixels", size=16))
    judge, digest = fitted_judge(seen, world)
    again, same = fitted_judge(seen, world)
    assert digest == same
    actor = Actor(
        env="envs/two_rooms", view=View(see="pixels", size=16), policy=walk, seed=1, longest=6,
        choice=Choice(candidates=3, judge_of=judge),
    )  # fmt: skip
    sent = pickle.loads(pickle.dumps(actor))
    assert sent.npz(1) == replace(actor, choice=Choice(candidates=3, judge_of=again)).npz(1)
    plain = replace(actor, choice=None)
    judged = [again()(episode_in(plain.npz(number), number)) for number in (3, 4, 5)]
    assert len(set(judged)) == 3
    assert sent.npz(1) == plain.npz(3 + int(np.argmax(judged)))
    with pytest.raises(ValueError, match="was trained on data/collected; use a run of data/traj"):
        fitted_judge(run, world)


def test_a_run_of_another_world_does_not_choose(seen):
    larger = open_world("envs/two_rooms", View(see="pixels", size=32))
    with pytest.raises(
        ValueError, match=r"observations of \(16, 16, 3\) .*envs/two_rooms has \(32"
    ):
        fitted_judge(seen, larger)


def test_a_folder_says_who_chose_of_how_many(seen, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "worldmodel_train.collection.workers.in_workers",
        lambda actor, numbers, **_: map(actor.npz, numbers),
    )
    asked = [
        "envs/two_rooms", tmp_path, "--episodes", 2, "--longest", 3, "--size", 16,
        "--workers", 1, "--chosen-by", seen,
    ]  # fmt: skip
    assert wmt(*asked).exit_code == 0
    made_of = read_made_of(tmp_path)
    assert (made_of.chosen_by, made_of.candidates) == (str(seen), 4)
    other = wmt(*asked, "--candidates", 2)
    assert isinstance(other.exception, ValueError)
    assert "candidates: 4, not 2" in str(other.exception)


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
