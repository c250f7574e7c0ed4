import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from worldmodel_train.cli.commands import app
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.index_folder import scan_shard
from worldmodel_train.data.packing.probe import probe_ends
from worldmodel_train.data.trajectories.check import (
    ShardOfEpisodes,
    _first_shapes,
    check_episodes,
    check_shard,
    holds_episodes,
)
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.moments import Moments
from worldmodel_train.data.trajectories.scaling import normalised
from worldmodel_train.data.trajectories.summary import _rows, scale_lines
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.recipe import load_recipe


def episode(number, length=6, width=2):
    generator = np.random.default_rng(number)
    return Episode(
        observations=np.zeros((length, 4, 6, 3), np.uint8),
        actions=generator.normal(3.0, 2.0, (length - 1, width)).astype(np.float32),
        rewards=np.full(length - 1, number, np.float32),
        ends=np.arange(length - 1) == length - 2 - number % 2 * length,
    )


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def add(path, files):
    """Writes a shard of these files."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def checked(*paths):
    """The report of each shard, read in this process."""
    shapes = _first_shapes(paths)
    jobs = [ShardOfEpisodes(path=path, shapes=shapes, probe=probe_ends) for path in paths]
    return [check_shard(job, lambda: None) for job in jobs]


def test_what_good_episodes_hold_is_counted(tmp_path):
    episodes = [episode(n, length=5 + n) for n in range(4)]
    first, second = checked(*write_episodes(tmp_path, episodes, per_shard=3))
    first.merge(second)
    assert (first.shards, first.episodes, first.steps) == (2, 4, 4 + 5 + 6 + 7)
    assert (first.shortest, first.longest, first.ends) == (5, 8, 2)
    assert not first.problems
    done = np.concatenate([one.actions for one in episodes]).astype(np.float64)
    np.testing.assert_allclose(first.actions.mean, done.mean(axis=0))
    np.testing.assert_allclose(first.actions.std, done.std(axis=0))
    assert (first.actions.least == done.min(axis=0)).all()
    assert (first.actions.most == done.max(axis=0)).all()
    assert (first.rewards.least, first.rewards.most) == (0, 3)
    np.testing.assert_allclose(first.actions.low, np.percentile(done, 1, axis=0))
    np.testing.assert_allclose(first.actions.high, np.percentile(done, 99, axis=0))
    assert first.states is None


def test_what_is_known_of_states_is_counted_with_their_percentiles(tmp_path):
    states = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    episodes = [replace(episode(n), states=each) for n, each in enumerate(states)]
    first, second = checked(*write_episodes(tmp_path, episodes, per_shard=3))
    first.merge(second)
    found, rows = first.states, states.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0))
    np.testing.assert_allclose(found.low, np.percentile(rows, 1, axis=0))
    np.testing.assert_allclose(found.high, np.percentile(rows, 99, axis=0))
    shown = dict(_rows(first))
    assert shown["state 2"].endswith(f"1 % to 99 %: {found.low[2]:.4g} to {found.high[2]:.4g}")


def test_bad_episodes_are_counted_by_reason_and_named(tmp_path):
    write_episodes(tmp_path, [episode(0)])
    good = {"observations": np.zeros((3, 4, 6, 3), np.uint8), "actions": np.zeros((2, 2), "f4")}
    good |= {"rewards": np.zeros(2, "f4"), "ends": np.zeros(2, bool)}
    path = tmp_path / "others.tar"
    add(
        path,
        {
            "good.npz": npz(**good),
            "nan.npz": npz(**good | {"actions": np.full((2, 2), np.nan)}),
            "wide.npz": npz(**good | {"actions": np.zeros((2, 5), "f4")}),
            "long.npz": npz(**good | {"rewards": np.zeros(7, "f4")}),
            "blind.npz": npz(**{k: v for k, v in good.items() if k != "observations"}),
            "torn.npz": npz(**good)[:-40],
            "bare.json": b"{}",
        },
    )
    _, report = checked(tmp_path / "episodes_000000.tar", path)
    assert report.episodes == 1
    assert report.bad == {
        "not_finite": 1, "other_shape": 2, "length_mismatch": 1, "corrupt_episode": 1,
        "missing_npz": 1,
    }  # fmt: skip
    assert "others.tar: nan: not_finite, actions" in report.problems
    assert "others.tar: wide: other_shape, action_width 5, not 2" in report.problems
    assert "others.tar: long: length_mismatch, 7 rewards beside 2 actions" in report.problems


def test_a_video_must_have_a_frame_for_each_observation(tmp_path, make_video):
    arrays = npz(actions=np.zeros((5, 1), np.float32))
    files = {"a.mp4": make_video(6), "b.mp4": make_video(7), "c.mp4": b"none"}
    arrays_of = {f"{name[0]}.npz": arrays for name in files}
    add(tmp_path / "films.tar", dict(sorted((files | arrays_of).items())))
    (report,) = checked(tmp_path / "films.tar")
    assert (report.episodes, report.sizes) == (1, {"64x48": 1})
    assert report.seconds == pytest.approx(0.6, abs=0.05)
    assert report.bad == {"length_mismatch": 1, "undecodable": 1}
    assert "films.tar: b: length_mismatch, 7 frames beside 5 actions" in report.problems


def test_the_videos_of_all_cameras_must_have_a_frame_for_each_observation(tmp_path, make_video):
    arrays = npz(actions=np.zeros((5, 1), np.float32))
    good, long = make_video(6), make_video(7)
    add(
        tmp_path / "films.tar",
        {
            "a.left.mp4": good, "a.wrist.mp4": good, "a.npz": arrays,
            "b.left.mp4": good, "b.wrist.mp4": long, "b.npz": arrays,
            "c.left.mp4": b"none", "c.wrist.mp4": good, "c.npz": arrays,
        },
    )  # fmt: skip
    (report,) = checked(tmp_path / "films.tar")
    assert (report.episodes, report.sizes["64x48"]) == (1, 3)
    long_one, undecodable = report.problems
    assert long_one.endswith("length_mismatch, 7 frames in the wrist.mp4 beside 5 actions")
    assert undecodable.startswith("films.tar: c: undecodable")
    assert undecodable.endswith("in the left.mp4")


def test_a_shard_that_is_cut_off_is_wrong(tmp_path):
    (path,) = write_episodes(tmp_path, [episode(0), episode(1)])
    path.write_bytes(path.read_bytes()[:2000])
    (report,) = checked(path)
    assert any("of another shard; run `wmt data index" in line for line in report.problems)
    assert report.bad


def test_what_is_printed_for_a_recipe_scales_actions_to_mean_0_and_spread_1(tmp_path):
    episodes = [replace(episode(n), actions=_with_a_constant(episode(n))) for n in range(4)]
    (report,) = checked(*write_episodes(tmp_path, episodes))
    (line,) = scale_lines(report)
    scale = load_recipe("leworldmodel_two_rooms", [line]).data.actions
    done = torch.cat([torch.from_numpy(one.actions) for one in episodes])
    scaled = normalised(done, scale)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        scaled.std(0, correction=0), torch.tensor([1.0, 1, 0]), atol=1e-4, rtol=0
    )
    by_percentiles = normalised(done, scale.model_copy(update={"by": "percentiles"}))
    ends = torch.from_numpy(np.percentile(by_percentiles, (1, 99), axis=0)).float()
    expected = torch.tensor([[-1.0, -1, 0], [1, 1, 0]])
    torch.testing.assert_close(ends, expected, atol=1e-4, rtol=0)


def _with_a_constant(one):
    return np.pad(one.actions, ((0, 0), (0, 1)), constant_values=0.1)


@pytest.mark.parametrize("parts", [[7], [1, 6], [2, 3, 2]])
def test_moments_of_parts_are_those_of_the_whole(parts):
    rows = np.random.default_rng(0).normal(1e3, 1e-2, (7, 3))
    draw = np.random.default_rng(1)
    whole, (first, *others) = Moments.of(rows, draw), np.split(rows, np.cumsum(parts)[:-1])
    joined = Moments.of(first, draw)
    for other in others:
        joined = joined.joined(Moments.of(other, draw))
    np.testing.assert_allclose(joined.mean, whole.mean)
    np.testing.assert_allclose(joined.std, rows.std(axis=0), rtol=1e-9)
    assert joined.count == 7


@pytest.mark.slow
def test_the_command_tells_episodes_from_videos_and_ends_with_one_where_some_are_bad(tmp_path):
    write_episodes(tmp_path, [episode(0)])
    bad = npz(actions=np.full((2, 2), np.inf))
    add(tmp_path / "z.tar", {"bad.npz": bad, "bad.json": json.dumps({}).encode()})
    outcome = CliRunner().invoke(app, ["data", "check", str(tmp_path), "--workers", "1"])
    assert outcome.exit_code == 1
    assert "wrong: z.tar: bad: not_finite, actions" in outcome.output
    for shown in (
        "data.actions={mean: [",
        "2 numbers each",
        "action 1",
        "1 wrong",
        "not_finite (1)",
    ):
        assert shown in outcome.output


def test_a_set_of_videos_is_no_set_of_episodes(tmp_path):
    add(tmp_path / "a.tar", {"a.mp4": b"video", "a.json": b"{}"})
    assert not holds_episodes(tmp_path)
    with pytest.raises(PackError, match=r"holds no \.tar"):
        check_episodes(tmp_path / "none", probe_ends, workers=1, timeout_s=9.0)


def test_an_index_of_episodes_calls_none_of_them_unusable(tmp_path):
    (path,) = write_episodes(tmp_path, [episode(0), replace(episode(1), rewards=None)])
    assert not scan_shard(path, lambda: None).problems
