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
from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.tar_members import read_part
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories import stored_frames
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


def batches(shards, *, count=BATCHES, **options):
    return list(islice(endless_batches(shards, **options), count))


def endless_batches(shards, *, workers=0, first_step=0, kept_mb=256, frameskip=1):
    config = TrajectoriesConfig(
        name="data/trajectories",
        sources=(ShardsConfig(shards=shards),),
        loader=LoaderConfig(workers=workers, prefetch=1),
        steps=3,
        frameskip=frameskip,
        kept_mb=kept_mb,
    )
    position = LoaderPosition(
        seed=3, rank=0, world_size=1, micro_batch=BATCH, global_batch=BATCH, first_step=first_step
    )
    return iter(config.build_loader(None, position))


def held(parts):
    """All that batches hold, and what was skipped on the way."""
    found = []
    for batch in parts:
        tensors = []
        batch.content.map(
            lambda tensor, into=tensors: into.append(tensor.numpy().tobytes()) or tensor
        )
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


@pytest.fixture
def large(tmp_path):
    """Four episodes of 0.9 MB."""
    write_episodes(tmp_path, [episode(n, side=160) for n in range(4)], per_shard=2)
    return tmp_path


def test_of_what_has_no_room_only_the_window_is_read(large, reads, monkeypatch):
    anew = held(batches(f"{large}/*.tar", kept_mb=0, frameskip=2))
    reads.clear()
    parts = []

    def counted(file, span, part):
        parts.append(len(part))
        return read_part(file, span, part)

    monkeypatch.setattr(stored_frames, "read_part", counted)
    assert held(batches(f"{large}/*.tar", kept_mb=2, frameskip=2)) == anew
    assert len(reads) == 1 + 4  # one for the shapes, when the data was opened
    assert set(parts) == {5 * 160 * 160 * 3}
    assert len(parts) > BATCHES * BATCH // 2


def test_what_cannot_be_read_in_part_is_read_each_time(tmp_path, reads):
    whole = episode(0, side=160)
    with tarfile.open(tmp_path / "made.tar", "w") as tar:
        for name in "ab":
            file = io.BytesIO()
            np.savez_compressed(file, observations=whole.observations, actions=whole.actions)
            member = tarfile.TarInfo(f"{name}.npz")
            member.size = len(file.getvalue())
            tar.addfile(member, io.BytesIO(file.getvalue()))
    batches(f"{tmp_path}/*.tar", kept_mb=1, count=3)
    assert len(reads) == 1 + 3 * BATCH
    reads.clear()
    batches(f"{tmp_path}/*.tar", kept_mb=2, count=3)
    assert 1 + 3 * BATCH // 2 <= len(reads) < 1 + 3 * BATCH  # one of them has room


def test_a_shard_that_is_another_meanwhile_is_noticed_and_its_sample_read_anew(large):
    endless = endless_batches(f"{large}/*.tar", kept_mb=1)
    before = [next(endless) for _ in range(3)]
    assert not any(batch.origin.skipped for batch in before)
    path = large / "episodes_000000.tar"
    path.write_bytes(path.read_bytes()[:4096])
    after = [next(endless) for _ in range(3)]
    skips = [skip for batch in after for skip in batch.origin.skipped]
    assert {skip.reason for skip in skips} == {"truncated_shard"}
    assert {batch.content.observations[i, 0, 0, 0, 0].item() // 20 for batch in after
            for i in range(BATCH)} == {2, 3}  # fmt: skip


def drawn(number, source=0):
    return Drawn(source=source, number=number, attempt=0, read=lambda: pytest.fail("read"))


NOWHERE = EncodedSample(key="a", shard="a.tar", files={})


def test_those_that_came_first_stay_and_each_source_has_its_own():
    one = episode(0, side=100)
    assert one.num_bytes == 12 * 100 * 100 * 3 + 11 * (8 + 4 + 1)
    kept = KeptEpisodes(int(2.5 * one.num_bytes))
    kept.add(drawn(5), NOWHERE, one)
    kept.add(drawn(5, source=1), NOWHERE, episode(1, side=100))
    kept.add(drawn(6), NOWHERE, episode(2, side=100))
    assert kept.get(drawn(5)) == (one, None)
    assert kept.get(drawn(5, source=1)).episode is not one
    assert kept.get(drawn(6)) is None


def test_nothing_of_a_stream_is_kept():
    kept = KeptEpisodes(1 << 20)
    kept.add(drawn(None), NOWHERE, episode(0))
    assert kept.get(drawn(None)) is None
