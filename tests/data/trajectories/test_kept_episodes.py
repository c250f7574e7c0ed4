"""An episode that is kept gives the windows, and the skips, that it gives when it is read again."""

import io
import tarfile
from itertools import islice

import numpy as np
import pytest

from worldmodel_train.data.config import LoaderConfig
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.sample_reader import Drawn
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.kept_episodes import KeptEpisodes
from worldmodel_train.data.trajectories.write import npz_of, write_episodes

GOOD, BAD, BATCH, BATCHES = 9, 1, 4, 15


def episode(number, length=12, side=8):
    """Frame t of episode n has level 20 n + t."""
    levels = (20 * number + np.arange(length)).astype(np.uint8)
    return Episode(
        observations=np.broadcast_to(levels[:, None, None, None], (length, side, side, 3)).copy(),
        actions=np.full((length - 1, 2), number, np.float32),
        rewards=np.arange(length - 1, dtype=np.float32),
        ends=np.zeros(length - 1, bool),
    )


@pytest.fixture
def folder(tmp_path):
    """Good episodes, and one that is damaged."""
    write_episodes(tmp_path, [episode(n) for n in range(GOOD)], per_shard=4)
    damaged = bytearray(npz_of(episode(9)))
    damaged[500] ^= 1  # in a frame: the zip's checksum tells
    with tarfile.open(tmp_path / "made.tar", "w") as tar:
        member = tarfile.TarInfo("damaged.npz")
        member.size = len(damaged)
        tar.addfile(member, io.BytesIO(damaged))
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """The numbers of the samples that were read."""
    numbers, sample = [], ShardSet.sample

    def counted(self, number, wanted):
        numbers.append(number)
        return sample(self, number, wanted)

    monkeypatch.setattr(ShardSet, "sample", counted)
    return numbers


def batches(shards, *, workers=0, first_step=0, count=BATCHES, kept_mb=256):
    config = TrajectoriesConfig(
        name="data/trajectories",
        sources=(ShardsConfig(shards=shards),),
        loader=LoaderConfig(workers=workers, prefetch=1),
        steps=3,
        kept_mb=kept_mb,
    )
    position = LoaderPosition(
        seed=3, rank=0, world_size=1, micro_batch=BATCH, global_batch=BATCH, first_step=first_step
    )
    return list(islice(iter(config.build_loader(None, position)), count))


def held(parts):
    """All that batches hold, and what was skipped on the way."""
    found = []
    for batch in parts:
        tensors = []
        batch.content.map(lambda tensor, into=tensors: into.append(tensor.tolist()) or tensor)
        found.append((batch.content.samples, tensors, batch.origin.skipped))
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_and_skips_of_many_epochs_are_those_that_are_read_anew(folder, workers):
    anew = held(batches(f"{folder}/*.tar", kept_mb=0))
    assert held(batches(f"{folder}/*.tar", workers=workers)) == anew
    skips = [skip for _, _, skipped in anew for skip in skipped]
    assert len(skips) >= BATCHES * BATCH // (GOOD + BAD)  # the bad one, each time it is drawn
    assert {(skip.reason, skip.key) for skip in skips} == {("corrupt_episode", "damaged")}


def test_a_run_that_goes_on_has_kept_nothing_and_sees_the_same(folder):
    whole = held(batches(f"{folder}/*.tar"))
    assert held(batches(f"{folder}/*.tar", first_step=7, count=BATCHES - 7)) == whole[7:]


def test_a_good_episode_is_read_once_and_a_bad_one_each_time(folder, reads):
    parts = batches(f"{folder}/*.tar")
    opened = 1  # for the shapes, when the data was opened
    skips = sum(len(batch.origin.skipped) for batch in parts)
    assert len(reads) == opened + GOOD + skips
    reads.clear()
    batches(f"{folder}/*.tar", kept_mb=0)
    assert len(reads) == opened + BATCHES * BATCH + skips


def test_what_has_no_room_is_read_each_time(tmp_path, reads):
    write_episodes(tmp_path, [episode(n, side=160) for n in range(4)])  # 0.9 MB each
    batches(f"{tmp_path}/*.tar", kept_mb=2, count=10)
    assert len(set(reads)) == 4
    assert sorted(reads.count(number) for number in set(reads))[:2] == [1, 2]  # 2: its shapes too
    assert len(reads) == 1 + 2 + 2 * 10


def drawn(number, source=0):
    return Drawn(source=source, number=number, attempt=0, read=lambda: pytest.fail("read"))


def test_those_that_came_first_stay_and_each_source_has_its_own():
    one = episode(0)
    kept = KeptEpisodes(2 * one.num_bytes + 1)
    assert one.num_bytes == 12 * 8 * 8 * 3 + 11 * (8 + 4 + 1)
    kept.add(drawn(5), one)
    kept.add(drawn(5, source=1), episode(1))
    kept.add(drawn(6), episode(2))
    assert kept.get(drawn(5)) is one
    assert kept.get(drawn(5, source=1)) is not one
    assert kept.get(drawn(6)) is None


def test_nothing_of_a_stream_is_kept():
    kept = KeptEpisodes(1 << 20)
    kept.add(drawn(None), episode(0))
    assert kept.get(drawn(None)) is None
