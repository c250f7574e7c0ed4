import io
import json
import tarfile
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.data.loaded import position
from worldmodel_train.data.config import LoaderConfig
from worldmodel_train.data.health import BadDataError
from worldmodel_train.data.shards.folder_index import INDEX_FILE, read_directory
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.wanted_files import WantedFiles
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import ActionScale, TrajectoriesConfig
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.facts import good_episodes
from worldmodel_train.data.trajectories.scaling import normalised, real
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.types import Trajectories


def episode(number, length=12, *, discrete=False):
    """Frame t of episode n has level 20 n + t, its action is (n, t), its reward t."""
    t = np.arange(length)
    levels = (20 * number + t).astype(np.uint8)
    actions = np.stack([np.full(length - 1, number), t[:-1]], axis=1)
    return Episode(
        observations=np.broadcast_to(levels[:, None, None, None], (length, 4, 6, 3)).copy(),
        actions=actions if discrete else actions.astype(np.float32),
        states=np.stack([t, -t], axis=1).astype(np.float32),
        rewards=t[:-1].astype(np.float32),
        ends=t[1:] == length - 1,
        metadata={"world": "test"},
    )


def make_tar(folder, files):
    """A shard of these files."""
    path = folder / "made.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def folder(tmp_path):
    write_episodes(tmp_path / "episodes", [episode(n) for n in range(10)], per_shard=4)
    return tmp_path / "episodes"


def config_of(folder, workers=0, **changes):
    values = {
        "sources": (ShardsConfig(shards=str(folder / "*.tar")),),
        "loader": LoaderConfig(workers=workers, prefetch=1),
        "steps": 3,
        "frameskip": 2,
    }
    return TrajectoriesConfig(name="data/trajectories", **{**values, **changes})


def batches(config, count, **place):
    return list(islice(iter(config.build_loader(None, position(**place))), count))


def windows(parts):
    """Sample number -> first level of its observations, for all batches."""
    return {
        sample: parts_of(batch.content, row)
        for batch in parts
        for row, sample in enumerate(batch.content.samples)
    }


def parts_of(content, row):
    tensors = []
    content.map(lambda tensor: tensors.append(tensor[row].tolist()) or tensor)
    return tensors


@pytest.mark.parametrize("discrete", [False, True])
def test_windows_are_what_a_plain_loop_cuts(tmp_path, discrete):
    write_episodes(tmp_path, [episode(n, 9, discrete=discrete) for n in range(4)])
    steps, skip, starts = 3, 3, set()
    for batch in batches(config_of(tmp_path, steps=steps, frameskip=skip), 6):
        content = batch.content
        for i in range(content.num_samples):
            number, start = divmod(int(content.observations[i, 0, 0, 0, 0]), 20)
            starts.add(start)
            whole = episode(number, 9, discrete=discrete)
            for t in range(steps):
                frame = start + t * skip
                assert (content.observations[i, t].numpy() == whole.observations[frame]).all()
                assert content.states[i, t].tolist() == whole.states[frame].tolist()
            for t in range(steps - 1):
                done = range(start + t * skip, start + (t + 1) * skip)
                together = [x for frame in done for x in whole.actions[frame].tolist()]
                assert content.actions[i, t].tolist() == together
                assert content.rewards[i, t] == sum(whole.rewards[frame] for frame in done)
                assert content.ends[i, t] == any(whole.ends[frame] for frame in done)
    assert content.actions.dtype == (torch.int64 if discrete else torch.float32)
    assert starts == {0, 1, 2}  # all that leave room, and no other


@pytest.mark.parametrize(
    ("world_size", "micro_batch", "workers"), [(2, 2, 0), (1, 4, 2), (4, 2, 1)]
)
def test_windows_are_the_same_for_any_ranks_and_workers_and_after_a_resume(
    folder, world_size, micro_batch, workers
):
    whole = windows(batches(config_of(folder), 3, micro_batch=8))
    passes = 2 * 8 // (world_size * micro_batch)
    resumed = windows(
        part
        for rank in range(world_size)
        for part in batches(
            config_of(folder, workers), passes,
            rank=rank, world_size=world_size, micro_batch=micro_batch, first_step=1,
        )
    )  # fmt: skip
    assert resumed == {n: window for n, window in whole.items() if n >= 8}
    assert len(resumed) == 16


def test_an_epoch_has_every_episode_once(folder):
    seen = [
        window[0][0][0][0][0] // 20 for window in windows(batches(config_of(folder), 5)).values()
    ]
    assert sorted(seen[:10]) == list(range(10))


def test_vectors_may_be_observed_and_streams_be_read(tmp_path):
    vectors = [
        replace(episode(n), observations=np.full((12, 5), n, np.float32), rewards=None, ends=None)
        for n in range(3)
    ]
    (shard,) = write_episodes(tmp_path, vectors)
    source = ShardsConfig(shards=f"pipe:cat {shard}")
    config = config_of(tmp_path, workers=1, sources=(source,))
    (batch,) = batches(config, 1)
    assert batch.content.observations.shape == (4, 3, 5)
    assert (batch.content.observations[:, 0, 0] == batch.content.actions[:, 0, 0]).all()
    assert batch.content.rewards is None


def test_frames_of_a_video_are_those_of_the_arrays_beside_it(tmp_path, make_video):
    np.savez(tmp_path / "rest.npz", actions=np.arange(11, dtype=np.float32)[:, None])
    np.savez(tmp_path / "short.npz", actions=np.zeros((5, 1), np.float32))
    video = make_video(12)  # frame t has level 20 + 10 t
    path = make_tar(
        tmp_path,
        {
            "a.mp4": video,
            "a.npz": (tmp_path / "rest.npz").read_bytes(),
            "b.mp4": video,
            "b.npz": (tmp_path / "short.npz").read_bytes(),
        },
    )
    config = config_of(path.parent, size=8, sources=(ShardsConfig(shards=str(path)),))
    parts = batches(config, 4)
    for batch in parts:
        levels = batch.content.observations.float().mean((2, 3, 4))
        first = ((levels - 20) / 10).round()[:, :-1]
        assert first.tolist() == batch.content.actions[:, :, 0].tolist()
    assert {(s.reason, s.key) for b in parts for s in b.origin.skipped} == {
        ("length_mismatch", "b")
    }


@pytest.mark.parametrize("prefix", ["", "pipe:cat "])
def test_an_episode_without_the_camera_is_skipped_and_named(tmp_path, make_video, prefix):
    np.savez(tmp_path / "a.npz", actions=np.arange(11, dtype=np.float32)[:, None])
    npz, video, other = (tmp_path / "a.npz").read_bytes(), make_video(12), make_video(7)
    files = {"a.Left.mp4": other, "a.wrist.mp4": video, "a.npz": npz}
    path = make_tar(tmp_path, files | {"b.left.mp4": other, "b.npz": npz})
    sources = (ShardsConfig(shards=f"{prefix}{path}"),)
    (batch,) = batches(config_of(tmp_path, size=8, sources=sources, camera="Wrist"), 1)
    levels = batch.content.observations.float().mean((2, 3, 4))
    first = ((levels - 20) / 10).round()[:, :-1]
    assert first.tolist() == batch.content.actions[:, :, 0].tolist()
    assert {(s.reason, s.key) for s in batch.origin.skipped} <= {("missing_camera", "b")}
    nobody = config_of(tmp_path, size=8, sources=sources, camera="top")
    with pytest.raises(ValueError, match=r"begins with no episode; the last is .*missing_camera"):
        nobody.open_facts()


def test_a_camera_without_a_size_for_its_frames_is_refused(folder):
    with pytest.raises(ValidationError, match="camera=left has its frames in videos; give `size`"):
        config_of(folder, camera="left")


def test_what_a_method_needs_is_known_once_an_episode_is_opened(folder):
    config = config_of(folder)
    assert config.facts().episodes is None
    facts = config.open_facts().episodes
    assert (facts.observation, facts.action_width, facts.state_width) == ((4, 6, 3), 4, 2)
    assert not facts.discrete_actions


SCALE = ActionScale(mean=(3.0, -1.0), std=(2.0, 0.5))


def test_actions_are_scaled_and_scaled_back_each_number_by_its_own(folder):
    held_out = ShardsConfig(shards=str(folder / "*.tar"))
    plain, scaled = (config_of(folder, actions=one, held_out=held_out) for one in (None, SCALE))
    pairs = [
        (batches(plain, 1)[0].content, batches(scaled, 1)[0].content),
        (plain.held_out_content(3), scaled.held_out_content(3)),
    ]
    for taken, content in pairs:
        by_hand = (taken.actions - torch.tensor([3.0, -1, 3, -1])) / torch.tensor([2, 0.5, 2, 0.5])
        assert torch.equal(content.actions, by_hand)
        assert torch.equal(content.observations, taken.observations)
        torch.testing.assert_close(real(content.actions, SCALE), taken.actions)


def test_a_scale_of_other_actions_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"data\.actions scales 1 numbers, and an action has 2"):
        config_of(folder, actions=ActionScale(mean=(0.0,), std=(1.0,))).open_facts()
    write_episodes(tmp_path / "choices", [episode(0, discrete=True)])
    with pytest.raises(ValueError, match="these actions are choices; write null"):
        config_of(tmp_path / "choices", actions=SCALE).open_facts()
    for mean, std in (((0.0, 1.0), (1.0,)), ((0.0,), (0.0,)), ((float("nan"),), (1.0,))):
        with pytest.raises(ValidationError):
            ActionScale(mean=mean, std=std)


def test_percentiles_may_be_the_ends_of_what_is_seen():
    scale = ActionScale(
        mean=(9.0, 9.0), std=(9.0, 9.0), low=(0.0, 2.0), high=(4.0, 2.0), by="percentiles"
    )
    actions = torch.tensor([[0.0, 2.0], [4.0, 2.0], [5.0, 3.0]])
    scaled = normalised(actions, scale)
    assert scaled.tolist() == [[-1, 0], [1, 0], [1.5, 1]]
    assert torch.equal(real(scaled, scale), actions)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": "percentiles"}, "by: percentiles needs low and high; use what `wmt data check`"),
        ({"low": (0.0,)}, "low and high belong together"),
        ({"low": (0.0,), "high": (1.0, 2.0)}, "1 of mean and 1 of std and 1 of low and 2 of high"),
        ({"low": (1.0,), "high": (0.0,)}, r"low=\(1.0,\) is above high=\(0.0,\) somewhere"),
    ],
)
def test_percentiles_that_are_none_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        ActionScale(mean=(0.0,), std=(1.0,), **given)


def test_held_out_episodes_give_the_same_windows_every_time(folder):
    config = config_of(folder, held_out=ShardsConfig(shards=str(folder / "*.tar")))
    first, second = config.held_out_content(4), config.held_out_content(4)
    assert isinstance(first, Trajectories)
    assert first.num_samples == 4
    assert torch.equal(first.observations, second.observations)
    assert torch.equal(first.actions, second.actions)


def test_new_episodes_are_added_behind_those_that_are_there(folder):
    (new,) = write_episodes(folder, [episode(10)], per_shard=4)
    assert new.name == "episodes_000003.tar"
    names, _, samples, *_ = read_directory(folder / INDEX_FILE)
    assert [name.decode() for name in names] == [f"episodes_00000{i}.tar" for i in range(4)]
    assert samples.tolist() == [4, 4, 2, 1]
    assert len(ShardSet([str(path) for path in sorted(folder.glob("*.tar"))])) == 11
    assert not list(folder.glob(".episodes_*"))


def test_equal_episodes_make_equal_shards(folder, tmp_path):
    write_episodes(tmp_path / "again", [episode(n) for n in range(10)], per_shard=4)
    for path in folder.glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_an_episode_that_could_not_be_read_again_is_not_written(tmp_path):
    broken = replace(episode(0), rewards=np.full(11, np.nan, np.float32))
    with pytest.raises(ValueError, match="not_finite"):
        write_episodes(tmp_path, [broken])
    assert not list(tmp_path.iterdir())


def bad(**arrays):
    whole = episode(0)
    given = {name: getattr(whole, name) for name in ("observations", "actions", "states")}
    given |= {"rewards": whole.rewards, "ends": whole.ends, **arrays}
    return {name: array for name, array in given.items() if array is not None}


BAD = {
    "not_finite": bad(actions=np.full((11, 2), np.nan)),
    "length_mismatch": bad(rewards=np.zeros(10)),
    "wrong_array": bad(states=np.zeros((12, 2), np.int32)),
    "missing_array": bad(actions=None),
    "end_inside_episode": bad(ends=np.ones(11, bool)),
    "other_shape": bad(actions=np.zeros((11, 3))),
    "too_short": {name: array[: 4 - (len(array) == 11)] for name, array in bad().items()},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_episode_is_skipped_and_counted(folder, tmp_path, reason):
    np.savez(tmp_path / "bad.npz", **BAD[reason])
    path = make_tar(tmp_path, {"bad.npz": (tmp_path / "bad.npz").read_bytes()})
    shards = (str(folder / "episodes_000002.tar"), str(path))
    parts = batches(config_of(folder, sources=(ShardsConfig(shards=shards),)), 6)
    assert {(s.reason, s.key) for batch in parts for s in batch.origin.skipped} == {(reason, "bad")}


def test_all_good_episodes_are_read_in_order(folder, tmp_path):
    np.savez(tmp_path / "bad.npz", **BAD["not_finite"])
    make_tar(folder, {"bad.npz": (tmp_path / "bad.npz").read_bytes(), "without_npz.json": b"{}"})
    found = list(good_episodes(config_of(folder)))
    assert [int(one.actions[0, 0]) for one in found] == list(range(10))


def test_data_without_any_episode_is_an_error_that_names_one(tmp_path):
    path = make_tar(tmp_path, {"a.npz": b"no zip", "b.json": b"{}"})
    config = config_of(tmp_path, sources=(ShardsConfig(name="arm", shards=str(path)),))
    with pytest.raises(ValueError, match=r"source 'arm' begins with no episode.*missing_npz"):
        config.open_facts()


def test_only_windows_too_long_for_all_episodes_stop_the_run(folder):
    with pytest.raises(BadDataError, match="too_short"):
        batches(config_of(folder, steps=8), 1)


def test_metadata_lies_beside_the_arrays(folder):
    path = str(folder / "episodes_000000.tar")
    sample = ShardSet([path]).sample(0, WantedFiles(needed=("json",), read=("json",)))
    assert json.loads(sample.files["json"]) == {"world": "test"}
