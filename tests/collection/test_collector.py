"""What a collector has after some steps, and how it comes back to it."""

import numpy as np
import pytest
import torch
from torch import nn

from worldmodel_train.collection.config import CollectedConfig
from worldmodel_train.collection.episode_files import episode_in
from worldmodel_train.collection.policies import RandomPolicy
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.preparation import as_read
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.training.collector import Collector

CONFIG = CollectedConfig(
    name="data/collected", env="Pendulum-v1", steps=3, random_episodes=2, every_steps=5, longest=6
)


class Actor(nn.Linear):
    def exploring(self):
        return RandomPolicy(1)

    greedy = exploring


def collector(folder, **changes):
    config = CONFIG.model_copy(update=changes)
    folder.mkdir(exist_ok=True)
    return config.collector(folder, seed=3)


def after(made, steps, *, since=0):
    """Acts as a run does."""
    for step in range(since, steps + 1):
        if made.due(step):
            made.add(made.act(Actor(1, 1), step), write=True)
    return made


def test_it_is_what_training_asks_for(tmp_path):
    assert isinstance(collector(tmp_path), Collector)


def test_a_world_of_choices_is_not_for_runs_that_act():
    message = r"data\.env=CartPole-v1 has actions Discrete\(2\); use a world whose actions are a"
    with pytest.raises(ValueError, match=message):
        CONFIG.model_copy(update={"env": "CartPole-v1"}).check()


def test_episodes_come_before_the_first_step_and_every_few_after_it(tmp_path):
    made = collector(tmp_path)
    assert [step for step in range(12) if made.due(step)] == [0, 5, 10]
    assert after(made, 12).state()["episodes"] == 4
    assert sorted(path.name for path in (tmp_path / "episodes").iterdir()) == [
        f"00000{number}.npz" for number in range(4)
    ]


def test_a_step_sees_what_is_there_when_its_batch_is_asked_for():
    assert [CONFIG.visible(step) for step in (0, 1, 5, 6, 7, 11)] == [2, 2, 2, 3, 3, 4]


def test_batches_of_a_resumed_run_are_those_of_an_unbroken_one(tmp_path):
    def batch(made, step):
        position = LoaderPosition(
            seed=3, rank=0, world_size=1, micro_batch=4, global_batch=4, first_step=step
        )
        return next(made.batches(as_read, position)).content

    unbroken = after(collector(tmp_path), 10)
    stored = after(collector(tmp_path / "two"), 5).state()
    resumed = collector(tmp_path / "two")
    resumed.resume(5, stored)
    assert torch.equal(batch(resumed, 6).observations, batch(unbroken, 6).observations)
    after(resumed, 10, since=6)
    assert resumed.state() == unbroken.state()
    assert resumed.values() == unbroken.values()
    assert torch.equal(batch(resumed, 11).observations, batch(unbroken, 11).observations)


def test_episodes_that_no_checkpoint_knows_of_are_written_again_or_removed(tmp_path):
    after(collector(tmp_path), 10)
    third = (tmp_path / "episodes/000002.npz").read_bytes()
    (tmp_path / "episodes/notes.npz").touch()
    after(collector(tmp_path), 5)
    names = sorted(path.name for path in (tmp_path / "episodes").iterdir())
    assert names == ["000000.npz", "000001.npz", "000002.npz", "notes.npz"]
    assert (tmp_path / "episodes/000002.npz").read_bytes() == third


def test_a_lost_a_damaged_or_another_episode_is_refused(tmp_path):
    stored = after(collector(tmp_path), 5).state()
    path, other = tmp_path / "episodes/000002.npz", tmp_path / "episodes/000001.npz"
    whole = path.read_bytes()
    path.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=r"3 episodes .* checkpoint of step 5 was trained on"):
        collector(tmp_path).resume(5, stored)
    path.write_bytes(whole[:-50])
    with pytest.raises(ValueError, match="episode 2 of the run is damaged"):
        collector(tmp_path).resume(5, stored)
    path.unlink()
    with pytest.raises(ValueError, match=r"000002\.npz was trained on, and is lost"):
        collector(tmp_path).resume(5, stored)


def test_the_last_episode_is_reported(tmp_path):
    made = after(collector(tmp_path), 5)
    with np.load(tmp_path / "episodes/000002.npz") as last:
        assert made.values() == {
            "acting/episodes": 3.0,
            "acting/return": pytest.approx(last["rewards"].sum()),
            "acting/length": 6.0,
        }


def test_pictures_and_vectors_are_collected_alike_and_can_be_packed(tmp_path):
    made = collector(tmp_path, env="envs/two_rooms")
    made.add(made.act(Actor(1, 1), 0), write=True)
    position = LoaderPosition(
        seed=3, rank=0, world_size=1, micro_batch=2, global_batch=2, first_step=0
    )
    content = next(made.batches(as_read, position)).content
    assert content.observations.shape == (2, 3, 64, 64, 3)
    assert content.observations.dtype == torch.uint8
    assert (content.actions.shape, content.rewards.shape) == ((2, 2, 2), (2, 2))
    stored = [episode_in(path.read_bytes(), 0) for path in (tmp_path / "episodes").iterdir()]
    write_episodes(tmp_path / "packed", stored)
    packed = TrajectoriesConfig(
        name="data/trajectories",
        sources=(ShardsConfig(shards=str(tmp_path / "packed/*.tar")),),
        steps=3,
    )
    assert (
        packed.open_facts().episodes
        == CONFIG.model_copy(update={"env": "envs/two_rooms"}).open_facts().episodes
    )
