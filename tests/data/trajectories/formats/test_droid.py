import json
import subprocess
import sys
from pathlib import Path

import av
import h5py
import numpy as np
import pytest

from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.trajectories.filming import frames_of
from worldmodel_train.data.trajectories.formats.droid import DroidFolder
from worldmodel_train.data.trajectories.formats.rotations import pose_changes
from worldmodel_train.data.trajectories.verdict import BadEpisode

ROWS = 9
DROID_LIKE = Path(__file__).parents[5] / "shared/data/robot/make_droid_like.py"
"""Writes what DROID raw 1.0.1 looks like, where a checkout has it beside it."""
SERIALS = {"wrist": "180", "ext1": "220", "ext2": "244"}


def states(rows=ROWS):
    rng = np.random.default_rng(0)
    roll = (np.pi - 0.02 + 0.01 * np.arange(rows) + np.pi) % (2 * np.pi) - np.pi  # wraps
    pose = np.column_stack([rng.normal(0, 0.1, (rows, 3)), roll, rng.normal(0, 0.1, (rows, 2))])
    return pose, np.linspace(0, 1, rows)


@pytest.fixture
def write(tmp_path, film):
    """Writes an episode as DROID raw 1.0.1 lays it out; what is given goes before what is usual."""

    def write(frames=ROWS, *, rate=60, name="Sun_Jun_11_15:52:37_2023", metadata=None, **arrays):
        folder = tmp_path / "1.0.1" / "ILIAD" / "success" / "2023-06-11" / name
        (folder / "recordings" / "MP4").mkdir(parents=True)
        pose, gripper = states()
        with h5py.File(folder / "trajectory.h5", "w") as file:
            robot = file.create_group("observation/robot_state")
            robot["cartesian_position"] = arrays.get("pose", pose)
            robot["gripper_position"] = arrays.get("gripper", gripper)
        said = {f"{camera}_mp4_path": f"success/x/{s}.mp4" for camera, s in SERIALS.items()}
        said |= {"left_mp4_path": said["ext2_mp4_path"], "current_task": "stack", "success": True}
        (folder / "metadata_ILIAD+0a1b.json").write_text(json.dumps(said | (metadata or {})))
        for number, serial in enumerate(SERIALS.values()):
            levels = [40 + 60 * number + 5 * t for t in range(frames)]
            film(folder / "recordings" / "MP4" / f"{serial}.mp4", levels, rate=rate)
        return folder

    return write


def read(root, arguments):
    reader = DroidFolder(root=root, arguments=arguments)
    (entry,) = reader.entries()
    return reader.read(entry.source)


def levels(film):
    frames = frames_of(film, lambda: None)
    return [round(float(frame.to_ndarray(format="rgb24").mean())) for frame in frames]


def test_actions_are_what_changes_of_the_pose_from_row_to_row(tmp_path, write, wanted):
    write()
    found = read(tmp_path, wanted("droid"))
    pose, gripper = states()
    expected = np.column_stack([pose, gripper])
    np.testing.assert_allclose(found.episode.states, expected, rtol=1e-6)
    np.testing.assert_allclose(found.episode.actions, pose_changes(expected), atol=1e-7)
    assert np.abs(found.episode.actions[:, 3]).max() < 0.3, "a roll beyond pi is no turn of 2 pi"
    assert found.episode.metadata["task"] == "stack"
    assert found.episode.metadata["success"] is True


def test_frames_belong_to_rows_whatever_rate_the_video_claims(tmp_path, write, wanted):
    write(rate=60)
    film = read(tmp_path, wanted("droid")).films[""]
    assert film.fps == 15
    np.testing.assert_allclose(levels(film), [160 + 5 * t for t in range(ROWS)], atol=2)
    assert read(tmp_path, wanted("droid", fps=10)).films[""].fps == 10


@pytest.mark.parametrize(("camera", "first"), [("wrist", 40), ("ext1", 100), ("left", 160)])
def test_the_camera_that_is_named_is_taken(tmp_path, write, wanted, camera, first):
    write()
    found = read(tmp_path, wanted("droid", camera=camera))
    assert abs(levels(found.films[""])[0] - first) <= 2
    assert found.episode.metadata["camera"] == camera


def test_several_cameras_are_kept_as_long_as_the_shortest(tmp_path, write, wanted, film):
    folder = write()
    film(folder / f"recordings/MP4/{SERIALS['wrist']}.mp4", [40 + 5 * t for t in range(ROWS - 1)])
    found = read(tmp_path, wanted("droid", camera="left, wrist"))
    assert [*found.films] == ["left", "wrist"]
    assert [levels(one)[0] for one in found.films.values()] == pytest.approx([160, 40], abs=2)
    assert {one.count for one in found.films.values()} == {ROWS - 1} == {found.episode.length}
    assert found.episode.metadata["camera"] == "left,wrist"
    with pytest.raises(BadEpisode, match="missing_camera, no top; there are"):
        read(tmp_path, wanted("droid", camera="left,top"))


def test_rows_that_are_left_out_are_in_the_actions(tmp_path, write, wanted):
    write()
    found = read(tmp_path, wanted("droid", every=4))
    kept = np.column_stack(states())[::4]
    np.testing.assert_allclose(found.episode.actions, pose_changes(kept), atol=1e-7)
    assert found.films[""].fps == 15 / 4
    np.testing.assert_allclose(levels(found.films[""]), [160, 180, 200], atol=2)


def test_of_a_film_that_lacks_the_last_frame_the_last_row_is_left_out(tmp_path, write, wanted):
    write(frames=ROWS - 1)
    found = read(tmp_path, wanted("droid"))
    assert found.episode.length == ROWS - 1 == len(levels(found.films[""]))
    np.testing.assert_allclose(found.episode.states[0, 6], 0)


NAN = np.where(np.arange(ROWS * 6).reshape(ROWS, 6) == 7, np.nan, 0.0)


@pytest.mark.parametrize(
    ("given", "reason", "detail"),
    [
        ({"frames": ROWS - 2}, "length_mismatch", "7 frames beside 9 rows"),
        ({"frames": ROWS + 1}, "length_mismatch", "10 frames beside 9 rows"),
        ({"gripper": np.zeros(ROWS - 1)}, "length_mismatch", "9 poses, 8 of the gripper"),
        ({"pose": NAN}, "not_finite", "states"),
        ({"pose": np.zeros((ROWS, 7))}, "wrong_array", r"poses \(9, 7\)"),
        ({"metadata": {"left_mp4_path": None}}, "missing_camera", "no left; there are wrist"),
        ({"metadata": {"left_mp4_path": "x/1.mp4"}}, "missing_camera", "no file .*MP4/1.mp4"),
        ({"metadata": {"left_mp4_path": "../../../metadata_x"}}, "missing_camera", "no file"),
    ],
)
def test_what_cannot_be_used_is_said_by_name(tmp_path, write, wanted, given, reason, detail):
    write(**given)
    with pytest.raises(BadEpisode, match=detail) as verdict:
        read(tmp_path, wanted("droid"))
    assert verdict.value.reason == reason


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("metadata_*.json", "missing_metadata"),
        ("trajectory.h5", "missing_trajectory"),
    ],
)
def test_an_episode_without_its_files_is_counted_all_the_same(
    tmp_path, write, wanted, pattern, reason
):
    (path,) = write().glob(pattern)
    path.unlink()
    with pytest.raises(BadEpisode) as verdict:
        read(tmp_path, wanted("droid"))
    assert verdict.value.reason == reason


@pytest.mark.parametrize("name", ["metadata_ILIAD+0a1b.json", "trajectory.h5"])
def test_a_torn_file_is_the_verdict_on_its_episode(tmp_path, write, wanted, name):
    path = write() / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadEpisode) as verdict:
        read(tmp_path, wanted("droid"))
    assert verdict.value.reason == "unreadable"
    assert name in verdict.value.detail


def test_a_torn_video_is_the_verdict_on_its_episode(tmp_path, write, wanted):
    path = write() / "recordings/MP4/244.mp4"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BadVideo):
        read(tmp_path, wanted("droid"))


def test_a_folder_of_something_else_is_an_error(tmp_path, wanted):
    with pytest.raises(PackError, match=r"holds no trajectory\.h5; name a folder of DROID"):
        DroidFolder(root=tmp_path, arguments=wanted("droid")).entries()


def test_episodes_come_in_the_order_of_their_names_from_any_folder_above(tmp_path, write, wanted):
    names = ["Sun_Jun_11_16:00:00_2023", "Sun_Jun_11_15:00:00_2023"]
    folder = write(name=names[0]).parent
    write(name=names[1])
    reader = DroidFolder(root=folder, arguments=wanted("droid"))
    assert [entry.source for entry in reader.entries()] == sorted(names)
    assert len(DroidFolder(root=tmp_path, arguments=wanted("droid")).entries()) == 2


def test_the_header_of_the_fixture_lies_about_the_rate(write):
    with av.open(str(write() / "recordings/MP4/244.mp4")) as container:
        assert container.streams.video[0].average_rate == 60


@pytest.mark.slow
@pytest.mark.skipif(not DROID_LIKE.is_file(), reason="no generator of DROID's layout is there")
def test_droid_as_it_lies_on_a_disk_is_read(tmp_path, wanted):
    script = [sys.executable, str(DROID_LIKE), str(tmp_path), "2", "12"]
    subprocess.run(script, check=True, capture_output=True)
    reader = DroidFolder(root=tmp_path, arguments=wanted("droid"))
    lengths, reasons = [], []
    for entry in reader.entries():
        try:
            found = reader.read(entry.source)
        except BadEpisode as verdict:
            reasons.append(verdict.reason)
        else:
            assert len(levels(found.films[""])) == found.episode.length
            assert np.abs(found.episode.actions[:, 3:6]).max() < 0.2
            lengths.append(found.episode.length)
    # of the second, 19 rows long, the film lacks the last frame
    assert sorted(lengths) == [12, 18]
    assert sorted(reasons) == ["missing_metadata", "missing_trajectory"]
