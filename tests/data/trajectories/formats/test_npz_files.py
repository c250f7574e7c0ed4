import numpy as np
import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.trajectories.formats.npz_files import NpzFiles
from worldmodel_train.data.trajectories.npz import BadArraysError
from worldmodel_train.data.trajectories.verdict import BadEpisode

ROWS = 6


def rows(count=ROWS, **given):
    numbers = np.arange(count, dtype=np.float32)
    pictures = np.repeat(numbers.astype(np.uint8), 4 * 5 * 3).reshape(count, 4, 5, 3)
    arrays = {"observations": pictures, "actions": numbers[:, None], "states": numbers[:, None]}
    arrays["rewards"] = 10 * numbers
    return {name: array for name, array in (arrays | given).items() if array is not None}


def episodes(root, arguments):
    reader = NpzFiles(root=root, arguments=arguments)
    return {entry.source: reader.read(entry.source).episode for entry in reader.entries()}


def test_each_file_is_an_episode_without_the_action_that_leads_nowhere(tmp_path, wanted):
    (tmp_path / "b").mkdir()
    np.savez(tmp_path / "b/two.npz", **rows())
    np.savez_compressed(tmp_path / "one.npz", **rows(4))
    found = episodes(tmp_path, wanted("npz"))
    assert list(found) == ["b/two.npz", "one.npz"]
    episode = found["b/two.npz"]
    assert episode.observations[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert episode.actions[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert episode.rewards.tolist() == [0, 10, 20, 30, 40]
    assert episode.states[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_one_action_fewer_than_observations_is_taken_as_it_is(tmp_path, wanted):
    given = rows(actions=np.ones((ROWS - 1, 2)), rewards=np.ones((ROWS - 1, 1)))
    np.savez(tmp_path / "a.npz", **given)
    (episode,) = episodes(tmp_path, wanted("npz")).values()
    assert episode.actions.shape == (ROWS - 1, 2)
    assert episode.rewards.shape == (ROWS - 1,)


def test_what_the_last_action_led_to_is_kept_where_the_file_has_it(tmp_path, wanted):
    later = {"next_observations": rows()["observations"] + 1, "next_states": rows()["states"] + 1}
    dones = np.array([0, 1, 0, 0, 0, 1])  # the goal is met once on the way
    np.savez(tmp_path / "a.npz", **rows(**later, dones=dones))
    (episode,) = episodes(tmp_path, wanted("npz")).values()
    assert episode.length == ROWS + 1
    assert episode.observations[-2:, 0, 0, 0].tolist() == [5, 6]
    assert episode.states[-1, 0] == 6
    assert episode.rewards[-1] == 50
    assert episode.ends.tolist() == [False] * 5 + [True]


def test_without_the_next_state_the_next_observation_is_no_use(tmp_path, wanted):
    np.savez(tmp_path / "a.npz", **rows(next_observations=rows()["observations"] + 1))
    (episode,) = episodes(tmp_path, wanted("npz")).values()
    assert episode.length == ROWS


def test_episodes_behind_each_other_are_cut_where_terminals_say(tmp_path, wanted):
    terminals = np.array([0, 0, 1, 0, 0, 1, 0, 0])
    np.savez(tmp_path / "cube.npz", **rows(8, terminals=terminals, states=None))
    found = episodes(tmp_path, wanted("npz"))
    assert list(found) == [f"cube.npz#{n:06}" for n in range(3)]
    shown = [e.observations[:, 0, 0, 0].tolist() for e in found.values()]
    assert shown == [[0, 1, 2], [3, 4, 5], [6, 7]]
    # no action leads from one episode into the next
    assert [e.actions[:, 0].tolist() for e in found.values()] == [[0, 1], [3, 4], [6]]
    assert all(e.ends is None for e in found.values()), "a boundary says not why it is there"


def test_terminals_beside_timeouts_say_which_episodes_end(tmp_path, wanted):
    marks = {"terminals": np.array([0, 0, 1, 0, 0, 0]), "timeouts": np.array([0, 0, 0, 0, 0, 1])}
    later = {"next_observations": rows()["observations"] + 1}
    np.savez(tmp_path / "a.npz", **rows(**marks, **later, states=None))
    ended, cut = episodes(tmp_path, wanted("npz")).values()
    assert ended.ends.tolist() == [False, False, True]
    assert not cut.ends.any()


def test_a_first_axis_of_episodes_and_a_task_of_each(tmp_path, wanted):
    """The layout of the debug set of Bridge: frames, state and action, each of 25 x 10."""
    frames = np.arange(3 * 4, dtype=np.uint8).reshape(3, 4, 1, 1, 1)
    numbers = np.broadcast_to(frames.reshape(3, 4, 1), (3, 4, 7)).astype(np.float32)
    np.savez(
        tmp_path / "bridge.npz",
        frames=np.broadcast_to(frames, (3, 4, 2, 2, 3)),
        state=numbers,
        action=numbers,
        language=np.array(["lift", "push", "place"]),
    )
    found = episodes(tmp_path, wanted("npz", fps=5))
    second = found["bridge.npz#000001"]
    assert len(found) == 3
    assert second.observations[:, 0, 0, 0].tolist() == [4, 5, 6, 7]
    assert second.actions[:, 6].tolist() == [4, 5, 6]
    assert second.states.shape == (4, 7)
    expected = {"source": "bridge.npz#000001", "fps": 5.0, "task": "push"}
    assert second.metadata == expected


def test_states_are_the_named_arrays_beside_each_other(tmp_path, wanted):
    given = {"qpos": np.ones((ROWS, 3)), "button": np.full(ROWS, 2, np.int64)}
    np.savez(tmp_path / "a.npz", **rows(**given))
    (episode,) = episodes(tmp_path, wanted("npz", states=["qpos", "button"])).values()
    assert episode.states[0].tolist() == [1, 1, 1, 2]


def test_pictures_whose_channels_come_first_are_turned(tmp_path, wanted):
    pictures = np.arange(ROWS * 3 * 4 * 5, dtype=np.uint8).reshape(ROWS, 3, 4, 5)
    np.savez(tmp_path / "a.npz", **rows(observations=pictures))
    (episode,) = episodes(tmp_path, wanted("npz")).values()
    np.testing.assert_array_equal(episode.observations, np.moveaxis(pictures, 1, -1))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"actions": np.full((ROWS, 1), np.nan)}, "not_finite"),
        ({"actions": np.array(["a"] * ROWS)}, "wrong_array"),
        ({"states": np.zeros((ROWS - 2, 1))}, "length_mismatch"),
        ({"rewards": np.zeros(ROWS + 3)}, "length_mismatch"),
        ({"observations": None}, "missing_array"),
    ],
)
def test_what_cannot_be_used_is_said_by_name(tmp_path, wanted, given, reason):
    np.savez(tmp_path / "a.npz", **rows(**given))
    with pytest.raises((BadEpisode, BadArraysError)) as verdict:
        episodes(tmp_path, wanted("npz"))
    assert verdict.value.reason == reason


def test_one_row_is_no_episode(tmp_path, wanted):
    np.savez(tmp_path / "a.npz", **rows(1))
    with pytest.raises(BadEpisode, match="nothing is done in it"):
        episodes(tmp_path, wanted("npz"))


def test_a_camera_that_is_not_there_is_answered_with_what_is(tmp_path, wanted):
    np.savez(tmp_path / "a.npz", **rows())
    with pytest.raises(BadEpisode, match="no wrist; there are actions, observations, rewards"):
        episodes(tmp_path, wanted("npz", camera="wrist"))


@pytest.mark.parametrize("content", [b"", b"PK\3\4torn", b"\x80\x04N."])
def test_a_file_that_cannot_be_read_is_an_entry_left_out(tmp_path, wanted, content):
    (tmp_path / "a.npz").write_bytes(content)
    np.savez(tmp_path / "b.npz", **rows())
    entries = NpzFiles(root=tmp_path, arguments=wanted("npz")).entries()
    assert [entry.left_out and entry.left_out[0] for entry in entries] == ["unreadable", None]


def test_a_pickle_is_not_opened(tmp_path, wanted):
    np.savez(tmp_path / "a.npz", **rows(actions=np.array([{}] * ROWS, object)))
    (entry,) = NpzFiles(root=tmp_path, arguments=wanted("npz")).entries()
    assert entry.left_out[0] == "unreadable"
    assert "allow_pickle" in entry.left_out[1]


def test_a_folder_without_any_is_an_error(tmp_path, wanted):
    with pytest.raises(PackError, match=r"holds no \.npz"):
        NpzFiles(root=tmp_path, arguments=wanted("npz")).entries()
