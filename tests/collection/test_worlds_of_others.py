"""Environments that nobody here wrote are collected, read back as windows, and the same again."""

from ctypes.util import find_library
from functools import partial

import pytest

from worldmodel_train.collection.collect import collect
from worldmodel_train.collection.made_of import MadeOf
from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.policies import random
from worldmodel_train.collection.workers import Actor
from worldmodel_train.collection.world import View
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.envs.environments import WorldError

WORLDS = [
    # what an episode observes, numbers of an action, and of a state beside pixels
    ("Pendulum-v1", "vector", ((3,), 1, None)),
    ("Pendulum-v1", "pixels", ((48, 48, 3), 1, 3)),
    ("CartPole-v1", "pixels", ((48, 48, 3), 2, 4)),
    ("Reacher-v5", "vector", ((10,), 2, None)),
    ("Reacher-v5", "pixels", ((48, 48, 3), 2, 10)),
    ("gym_pusht/PushT-v0", "vector", ((5,), 2, None)),
    ("gym_pusht/PushT-v0", "pixels", ((48, 48, 3), 2, 5)),
    ("MiniGrid-Empty-5x5-v0", "pixels", ((48, 48, 3), 7, None)),
]


# where MuJoCo finds nothing to draw with, what it had begun complains when it is collected
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("env", "see", "shapes"), WORLDS)
def test_two_episodes_are_read_back_as_windows(tmp_path, world_or_skip, env, see, shapes):
    observation, actions, states = shapes
    actor = world_or_skip(env, see)
    for folder in ("one", "again"):
        collected(tmp_path / folder, actor())
    one, again = tmp_path / "one", tmp_path / "again"
    shard = "episodes_000000.tar"
    assert (one / shard).read_bytes() == (again / shard).read_bytes()
    source = ShardsConfig(shards=f"{one}/*.tar")
    config = TrajectoriesConfig(
        name="data/trajectories", sources=(source,), held_out=source, steps=3
    )
    known = config.open_facts().episodes
    assert (known.observation, known.action_width) == (observation, actions)
    assert known.state_width == states
    windows = config.held_out_content(9)
    assert windows.observations.shape == (2, 3, *observation)
    assert windows.actions.shape == (2, 2, actions)
    assert not windows.observations[0].equal(windows.observations[1])
    if len(observation) == 3:
        assert windows.observations.float().std() > 1, "something is to be seen"
    if env in ("CartPole-v1", "MiniGrid-Empty-5x5-v0"):
        assert windows.actions.sum(-1).eq(1).all()
        assert windows.actions.max(-1).values.eq(1).all()


def collected(folder, actor):
    made_of = MadeOf(
        env=actor.env,
        options={},
        see=actor.view.see,
        size=None,
        policy="random",
        seed=actor.seed,
        longest=actor.longest,
        per_shard=100,
    )
    acted = partial(map, actor.npz)
    collect(folder, made_of, episodes=2, act_out=acted, tell=int)


@pytest.fixture
def world_or_skip():
    def make(env, see):
        if env.startswith("Reacher"):
            pytest.importorskip("mujoco", reason="the extra envs is not installed")
        if "PushT" in env:
            pytest.importorskip("gym_pusht", reason="gym-pusht is not installed (make setup)")
        if "MiniGrid" in env:
            pytest.importorskip("minigrid", reason="the extra envs is not installed")
        view = View(see=see, size=48)
        if env.startswith("Reacher") and see == "pixels":
            if not (find_library("OSMesa") or find_library("EGL")):
                pytest.skip("neither OSMesa nor EGL is on this machine for MuJoCo to draw with")
            try:
                open_world(env, view)
            except WorldError as error:
                pytest.skip(f"MuJoCo finds no GL on this machine: {error}")
        return partial(Actor, env=env, view=view, policy=random, seed=3, longest=4)

    return make


def test_a_world_that_cannot_be_drawn_here_says_what_it_needs(monkeypatch):
    def render(self):
        raise RuntimeError("no GL")

    monkeypatch.setattr("gymnasium.envs.classic_control.PendulumEnv.render", render)
    message = r"^Pendulum-v1 cannot be drawn here \(no GL\); see it as a vector, or install"
    with pytest.raises(WorldError, match=message):
        open_world("Pendulum-v1", View(see="pixels"))
