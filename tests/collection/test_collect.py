"""A folder comes to the same bytes however often its filling is cut."""

import os
import signal
from dataclasses import replace
from functools import cache

import pytest

from worldmodel_train.collection import collect as module
from worldmodel_train.collection.collect import collect
from worldmodel_train.collection.disagreement import Choice
from worldmodel_train.collection.episode_files import EpisodeFiles
from worldmodel_train.collection.made_of import MadeOf
from worldmodel_train.collection.policies import random
from worldmodel_train.collection.workers import Actor
from worldmodel_train.collection.world import View
from worldmodel_train.data.trajectories.write import write_episodes

VIEW = View(see="vector")
MADE_OF = MadeOf(
    env="Pendulum-v1",
    options={},
    see="vector",
    size=None,
    policy="random",
    seed=7,
    longest=4,
    per_shard=2,
)
ACTOR = Actor(env="Pendulum-v1", view=VIEW, policy=random, seed=7, longest=4)
LOUDEST = Choice(candidates=2, judge_of=lambda: lambda episode: float(episode.actions.max()))


@cache
def npz(number, actor=ACTOR.npz):
    return actor(number)


def act_out(numbers):
    yield from map(npz, numbers)


def chosen(numbers):
    yield from (npz(number, CHOOSING) for number in numbers)


CHOOSING = replace(ACTOR, choice=LOUDEST).npz


def filled(folder, episodes=5, act_out=act_out, **changes):
    """What the folder holds in the end, and how many episodes it had before."""
    told = []
    made_of = MADE_OF.model_copy(update=changes)
    kept = collect(folder, made_of, episodes=episodes, act_out=act_out, tell=told.append)
    assert told == [*range(kept, episodes + 1)]
    assert not (folder / ".collecting").exists()
    return contents(folder), kept


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_has_shards_an_index_and_what_it_is_of(tmp_path):
    found, kept = filled(tmp_path)
    assert kept == 0
    assert sorted(found) == [
        ".lock", "collected.json", "episodes_000000.tar", "episodes_000001.tar",
        "episodes_000002.tar", "samples.idx",
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("act_out", [act_out, chosen])
def test_killed_before_any_of_its_writes_it_goes_on_to_the_same_bytes(
    tmp_path, monkeypatch, act_out
):
    whole, _ = filled(tmp_path / "whole", episodes=3, act_out=act_out)
    kept = []
    for step in range(100):
        folder = tmp_path / str(step)
        if not killed(folder, step, monkeypatch, act_out):
            break
        found, before = filled(folder, episodes=3, act_out=act_out)
        assert found == whole, f"killed before write {step}"
        kept.append(before)
    assert len(kept) == 1 + 3 + 2 + 3 + 1 + 1  # what it is of, episodes in and out, shards, index
    assert kept == sorted(kept)
    assert set(kept) == set(range(4))


def killed(folder, step, monkeypatch, act_out):
    """Whether a process that fills `folder` was killed before its write number `step`."""
    list(act_out(range(3)))  # nothing is acted out in the fork
    process = os.fork()
    if process == 0:
        left = iter(range(step))

        def or_die(write):
            def writes(*arguments):
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return write(*arguments)

            return writes

        for owner, name in (
            (EpisodeFiles, "write"),
            (EpisodeFiles, "remove"),
            (module, "write_atomically"),
            (module, "write_shard"),
            (module, "index_shards"),
            (module.shutil, "rmtree"),
        ):
            monkeypatch.setattr(owner, name, or_die(getattr(owner, name)))
        collect(folder, MADE_OF, episodes=3, act_out=act_out, tell=int)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


def test_an_episode_half_written_is_no_episode(tmp_path):
    whole, _ = filled(tmp_path / "whole")
    (tmp_path / "cut/.collecting").mkdir(parents=True)
    (tmp_path / "cut/.collecting/.000000.npz.0123.partial").write_bytes(npz(0)[:99])
    (tmp_path / "cut/.collecting/000003.npz").write_bytes(npz(3))  # without those before it
    assert filled(tmp_path / "cut") == (whole, 0)


def test_a_finished_folder_stays_and_grows_as_if_it_had_never_been_smaller(tmp_path):
    whole, _ = filled(tmp_path / "whole")
    before, _ = filled(tmp_path / "grown", episodes=3)
    assert filled(tmp_path / "grown", episodes=3) == (before, 3)
    assert filled(tmp_path / "grown") == (whole, 3)
    with pytest.raises(ValueError, match="grown has 5 episodes, more than 3; ask for as many"):
        filled(tmp_path / "grown", episodes=3)


def test_the_last_shard_stays_until_it_has_grown(tmp_path):
    before, _ = filled(tmp_path, episodes=3)

    def cut(numbers):
        yield npz(numbers[0])
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            filled(tmp_path, episodes=9, act_out=cut)
    assert len(contents_of_shard(tmp_path, before)) == 2


def contents_of_shard(folder, before):
    """Names of the shards that are whole after a growing was cut twice."""
    names = {path.name for path in folder.glob("*.tar")}
    assert (folder / "episodes_000000.tar").read_bytes() == before["episodes_000000.tar"]
    return names - {"episodes_000002.tar"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 8}, r"holds other episodes \(seed: 7, not 8\); name another folder"),
        ({"options": {"g": 9.0}}, r"\(options: \{\}, not \{'g': 9\.0\}\)"),
    ],
)
def test_other_episodes_are_not_put_beside_those_of_a_folder(tmp_path, changes, message):
    before, _ = filled(tmp_path)
    with pytest.raises(ValueError, match=message):
        filled(tmp_path, **changes)
    assert contents(tmp_path) == before


def test_the_same_weights_elsewhere_are_the_same_policy(tmp_path):
    before, _ = filled(tmp_path, policy="/one/run", weights="abc")
    assert filled(tmp_path, policy="/other/run", weights="abc") == (before, 5)
    with pytest.raises(ValueError, match="weights: abc, not def"):
        filled(tmp_path, policy="/one/run", weights="def")


def test_the_same_judge_elsewhere_chooses_the_same_and_another_one_does_not(tmp_path):
    by = {"chosen_by": "/one/run", "judge": "abc", "candidates": 4}
    before, _ = filled(tmp_path, **by)
    assert filled(tmp_path, **by | {"chosen_by": "/other/run"}) == (before, 5)
    with pytest.raises(ValueError, match="judge: abc, not def"):
        filled(tmp_path, **by | {"judge": "def"})
    with pytest.raises(ValueError, match="judge: abc, not None; candidates: 4, not 1"):
        filled(tmp_path)


def test_shards_of_others_a_lost_shard_and_a_damaged_file_are_named(tmp_path, episode):
    write_episodes(tmp_path / "others", [episode(3)])
    with pytest.raises(ValueError, match="others holds shards of episodes; name another folder"):
        filled(tmp_path / "others")
    filled(tmp_path / "lost")
    (tmp_path / "lost/episodes_000001.tar").unlink()
    with pytest.raises(ValueError, match=r"episodes_000001\.tar is missing or cut"):
        filled(tmp_path / "lost")
    path = tmp_path / "lost/collected.json"
    path.write_text(path.read_text().replace("Pendulum-v1", "Pendulum-v2"))
    with pytest.raises(ValueError, match=r"collected\.json is damaged"):
        filled(tmp_path / "lost")
