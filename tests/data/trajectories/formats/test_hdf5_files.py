import h5py
import numpy as np
import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.trajectories.formats import extra
from worldmodel_train.data.trajectories.formats.hdf5_files import Hdf5Files
from worldmodel_train.data.trajectories.verdict import BadEpisode

ROWS = 5


def write_robomimic(path, demos=("demo_0", "demo_1"), *, later=True, cameras=("agentview_image",)):
    """A file as robomimic writes it; demonstration n has observations of level 10 n + t."""
    with h5py.File(path, "w") as file:
        for number, name in enumerate(demos):
            group = file.create_group(f"data/{name}")
            level = 10 * number + np.arange(ROWS)
            group["actions"] = np.column_stack([level, -level]).astype(np.float64)
            group["states"] = np.ones((ROWS, 9))
            group["rewards"] = np.eye(ROWS)[-1]
            group["dones"] = np.array([0, 1, 0, 0, 1])
            for prefix, by in (("obs", 0), ("next_obs", 1))[: 2 if later else 1]:
                for camera in cameras:
                    pictures = np.repeat((level + by).astype(np.uint8), 4 * 4 * 3)
                    group[f"{prefix}/{camera}"] = pictures.reshape(ROWS, 4, 4, 3)
                group[f"{prefix}/eef_pos"] = np.ones((ROWS, 3)) * (level + by)[:, None]
                group[f"{prefix}/gripper"] = np.zeros((ROWS, 2))
    return path


def read(root, arguments):
    reader = Hdf5Files(root=root, arguments=arguments)
    return {entry.source: reader.read(entry.source).episode for entry in reader.entries()}


def test_demonstrations_come_in_the_order_of_their_numbers(tmp_path, wanted):
    write_robomimic(tmp_path / "lift.hdf5", ("demo_0", "demo_10", "demo_2"))
    found = read(tmp_path, wanted("hdf5"))
    assert list(found) == [f"lift.hdf5#demo_{n}" for n in (0, 2, 10)]
    episode = found["lift.hdf5#demo_10"]
    assert episode.observations[:, 0, 0, 0].tolist() == [10, 11, 12, 13, 14]
    assert episode.actions.tolist() == [[10, -10], [11, -11], [12, -12], [13, -13]]
    assert episode.states.shape == (ROWS, 9)
    assert not episode.ends.any(), "the end is not shown, and a success on the way is none"


def test_with_what_was_observed_next_no_action_is_lost_nor_the_reward_of_success(tmp_path, wanted):
    write_robomimic(tmp_path / "lift.hdf5")
    found = read(tmp_path, wanted("hdf5", states=["eef_pos", "gripper"]))
    episode = found["lift.hdf5#demo_0"]
    assert episode.observations[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert episode.states[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert episode.states.shape == (ROWS + 1, 5)
    assert episode.rewards.tolist() == [0, 0, 0, 0, 1]
    assert episode.ends.tolist() == [False, False, False, False, True]


def test_of_several_cameras_one_must_be_named(tmp_path, wanted):
    write_robomimic(tmp_path / "a.hdf5", cameras=("agentview_image", "wrist_image"), later=False)
    with pytest.raises(BadEpisode, match="choose by --camera: obs/agentview_image, obs/wrist"):
        read(tmp_path, wanted("hdf5"))
    found = read(tmp_path, wanted("hdf5", camera="wrist_image"))
    assert found["a.hdf5#demo_1"].observations.shape == (ROWS, 4, 4, 3)


def test_numbers_may_be_what_is_observed(tmp_path, wanted):
    write_robomimic(tmp_path / "a.hdf5", later=False)
    found = read(tmp_path, wanted("hdf5", camera="eef_pos", states=["gripper"]))
    assert found["a.hdf5#demo_0"].observations.shape == (ROWS, 3)


def test_arrays_with_terminals_are_cut_as_ogbench_means_it(tmp_path, wanted):
    level = np.arange(6)
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file["observations"] = np.ones((6, 2), np.float32) * level[:, None]
        file["actions"] = level[:, None].astype(np.float32)
        file["terminals"] = np.array([0, 0, 1, 0, 0, 1], np.float32)
        file["infos/qpos"] = np.ones((6, 4)) * level[:, None]
    found = read(tmp_path / "cube.h5", wanted("hdf5", states=["infos/qpos"]))
    assert list(found) == ["cube.h5#000000", "cube.h5#000001"]
    second = found["cube.h5#000001"]
    assert second.observations[:, 0].tolist() == [3, 4, 5]
    assert second.actions[:, 0].tolist() == [3, 4]
    assert second.states[:, 3].tolist() == [3, 4, 5]


def test_a_file_that_is_torn_is_an_entry_left_out(tmp_path, wanted):
    path = write_robomimic(tmp_path / "a.hdf5")
    path.write_bytes(path.read_bytes()[:500])
    (entry,) = Hdf5Files(root=tmp_path, arguments=wanted("hdf5")).entries()
    assert entry.left_out[0] == "unreadable"
    assert entry.left_out[1].startswith("a.hdf5: ")


def test_a_demonstration_without_actions_is_told_from_good_ones(tmp_path, wanted):
    path = write_robomimic(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        del file["data/demo_1/actions"]
    reader = Hdf5Files(root=tmp_path, arguments=wanted("hdf5"))
    good, bad = reader.entries()
    assert reader.read(good.source).episode.length == ROWS
    with pytest.raises(BadEpisode, match="no actions; there are dones"):
        reader.read(bad.source)


def test_without_the_package_the_extra_is_named(tmp_path, wanted, monkeypatch):
    monkeypatch.setattr(extra, "find_spec", lambda _: None)
    with pytest.raises(PackError, match=r"needs h5py; run `pip install 'worldmodel-train\[robots"):
        Hdf5Files(root=tmp_path, arguments=wanted("hdf5")).entries()
