import json
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.trajectories.filming import frames_of
from worldmodel_train.data.trajectories.formats import lerobot_meta
from worldmodel_train.data.trajectories.formats.lerobot import LeRobotFolder
from worldmodel_train.data.trajectories.verdict import BadEpisode

FPS = 10
LENGTHS = (5, 7, 4)
TOP = "observation.images.top"
V2 = {
    "codebase_version": "v2.1",
    "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    "chunks_size": 2,
}
V3 = {
    "codebase_version": "v3.0",
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
BASE = {
    "fps": FPS,
    "features": {
        TOP: {"dtype": "video"},
        "observation.state": {"dtype": "float32"},
        "action": {"dtype": "float32"},
        "next.reward": {"dtype": "float32"},
    },
}


@pytest.fixture(autouse=True)
def _forget():
    """A folder of an earlier test may have had the same name."""
    lerobot_meta.read_meta.cache_clear()


def levels(number):
    """Of the frames of an episode, which are its states as well."""
    return [20 + 60 * number + 5 * t for t in range(LENGTHS[number])]


def rows(number, length=None, **given):
    length = length or LENGTHS[number]
    state = [[float(level)] for level in levels(number)[:length]]
    columns = {
        "episode_index": [number] * length,
        "timestamp": pa.array([t / FPS for t in range(length)], pa.float32()),
        "observation.state": pa.array(state, pa.list_(pa.float32(), 1)),
        "action": pa.array([[1.0 + t, 0.0] for t in range(length)], pa.list_(pa.float32())),
        "next.reward": pa.array([float(t) for t in range(length)], pa.float32()),
    }
    return columns | given


def write_rows(path, *episodes):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables([pa.table(columns) for columns in episodes]), path)


def write_info(root, info):
    (root / "meta").mkdir(exist_ok=True)
    (root / "meta/info.json").write_text(json.dumps(BASE | info))


@pytest.fixture
def v2(tmp_path, film):
    """A parquet and a video for each episode."""
    write_info(tmp_path, V2)
    listed = []
    for number, length in enumerate(LENGTHS):
        place = {"episode_chunk": number // 2, "episode_index": number}
        write_rows(tmp_path / V2["data_path"].format(**place), rows(number))
        video = V2["video_path"].format(video_key=TOP, **place)
        film(tmp_path / video, levels(number), rate=FPS)
        listed.append({"episode_index": number, "tasks": [f"task {number}"], "length": length})
    text = "".join(json.dumps(line) + "\n" for line in listed)
    (tmp_path / "meta/episodes.jsonl").write_text(text)
    return tmp_path


def listed_v3(stretches):
    """`meta/episodes` of episodes that lie in the first file, each with its stretch of a video."""
    count = len(LENGTHS)
    return {
        "episode_index": list(range(count)),
        "tasks": [[f"task {n}"] for n in range(count)],
        "length": list(LENGTHS),
        "data/chunk_index": [0] * count,
        "data/file_index": [0] * count,
        f"videos/{TOP}/chunk_index": [0] * count,
        f"videos/{TOP}/file_index": [1, 0, 0],
        f"videos/{TOP}/from_timestamp": [start for start, _ in stretches],
        f"videos/{TOP}/to_timestamp": [stop for _, stop in stretches],
        "stats/action/mean": [[0.0]] * count,
    }


@pytest.fixture
def v3(tmp_path, film):
    """All rows in one parquet; the videos of the last two behind each other in one file."""
    write_info(tmp_path, V3)
    data = V3["data_path"].format(chunk_index=0, file_index=0)
    write_rows(tmp_path / data, *(rows(n) for n in range(3)))
    videos = [levels(1) + levels(2), levels(0)]
    for number, shown in enumerate(videos):
        path = V3["video_path"].format(video_key=TOP, chunk_index=0, file_index=number)
        film(tmp_path / path, shown, rate=FPS)
    listed = listed_v3([(0.0, 0.5), (0.0, 0.7), (0.7, 1.1)])
    write_rows(tmp_path / "meta/episodes/chunk-000/file-000.parquet", listed)
    return tmp_path


def read(root, arguments, number=0):
    reader = LeRobotFolder(root=root, arguments=arguments)
    return reader.read(reader.entries()[number].source)


def shown(recording):
    frames = frames_of(recording.films[""], lambda: None)
    return [round(float(frame.to_ndarray(format="rgb24").mean())) for frame in frames]


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_rows_and_frames_of_an_episode_are_its_own(request, wanted, version, number):
    found = read(request.getfixturevalue(version), wanted("lerobot"), number)
    episode, length = found.episode, LENGTHS[number]
    assert episode.length == length
    assert episode.states[:, 0].tolist() == levels(number)
    assert episode.actions.tolist() == [[1.0 + t, 0.0] for t in range(length - 1)]
    assert episode.rewards.tolist() == list(range(length - 1))
    np.testing.assert_allclose(shown(found), levels(number), atol=2)
    assert episode.metadata["task"] == f"task {number}"
    assert (episode.metadata["camera"], episode.metadata["fps"]) == (TOP, FPS)


def test_a_stretch_begins_with_the_frame_that_is_nearest(v3, wanted):
    write_rows(
        v3 / "meta/episodes/chunk-000/file-000.parquet",
        listed_v3([(0.0, 0.5), (0.0, 0.7), (0.74, 1.14)]),
    )
    np.testing.assert_allclose(shown(read(v3, wanted("lerobot"), 2)), levels(2), atol=2)


def test_a_stretch_that_leaves_the_video_is_a_verdict(v3, wanted):
    write_rows(
        v3 / "meta/episodes/chunk-000/file-000.parquet",
        listed_v3([(0.0, 0.5), (0.0, 0.7), (0.9, 1.3)]),
    )
    with pytest.raises(BadVideo, match="2 frames for 4 observations"):
        shown(read(v3, wanted("lerobot"), 2))


@pytest.mark.parametrize("stop", [float("nan"), float("inf"), -1.0])
def test_a_stretch_that_is_none_is_a_verdict(v3, wanted, stop):
    write_rows(
        v3 / "meta/episodes/chunk-000/file-000.parquet",
        listed_v3([(0.0, stop), (0.0, 0.7), (0.7, 1.1)]),
    )
    with pytest.raises(BadEpisode, match=r"timestamps, from 0 s to"):
        read(v3, wanted("lerobot"), 0)


def test_a_stretch_of_another_length_is_a_verdict(v3, wanted):
    write_rows(
        v3 / "meta/episodes/chunk-000/file-000.parquet",
        listed_v3([(0.0, 0.4), (0.0, 0.7), (0.7, 1.1)]),
    )
    with pytest.raises(BadEpisode, match="4 frames beside 5 rows"):
        read(v3, wanted("lerobot"), 0)


def test_a_video_a_frame_short_is_a_verdict(v2, film, wanted):
    (path,) = v2.rglob("episode_000001.mp4")
    film(path, levels(1)[:-1], rate=FPS)
    with pytest.raises(BadEpisode, match="length_mismatch, 6 frames beside 7 rows"):
        read(v2, wanted("lerobot"), 1)


def test_a_video_of_another_rate_is_a_verdict(v2, film, wanted):
    (path,) = v2.rglob("episode_000000.mp4")
    film(path, levels(0), rate=2 * FPS)
    with pytest.raises(BadVideo, match=r"timestamps: frame 2 is -0\.100 s from where its row is"):
        shown(read(v2, wanted("lerobot")))


UNEVEN = pa.array([0.0, 0.1, 0.2, 0.5, 0.6], pa.float32())
NULL = pa.array([[1.0, None]] * 5, pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"length": 4}, "length_mismatch"),
        ({"timestamp": UNEVEN}, "timestamps"),
        ({"action": NULL}, "wrong_array"),
    ],
)
def test_rows_that_cannot_be_used_are_said_by_name(v2, wanted, given, reason):
    (path,) = v2.rglob("episode_000000.parquet")
    write_rows(path, rows(0, **given))
    with pytest.raises(BadEpisode) as verdict:
        read(v2, wanted("lerobot"))
    assert verdict.value.reason == reason


@pytest.mark.parametrize("damage", ["missing", "unreadable"])
def test_a_file_of_rows_that_is_gone_or_torn_is_a_verdict(v2, wanted, damage):
    (path,) = v2.rglob("episode_000000.parquet")
    content = path.read_bytes()
    path.unlink()
    if damage == "unreadable":
        path.write_bytes(content[:50])
    with pytest.raises(BadEpisode) as verdict:
        read(v2, wanted("lerobot"))
    assert verdict.value.reason == damage


def test_a_video_that_is_gone_is_a_verdict(v2, wanted):
    next(v2.rglob("episode_000000.mp4")).unlink()
    with pytest.raises(BadEpisode, match=r"missing_camera, no file episode_000000\.mp4"):
        read(v2, wanted("lerobot"))


def test_pictures_in_the_rows_are_what_is_observed(v2, wanted):
    red = np.zeros((6, 8, 3), np.uint8)
    red[..., 2] = 200  # of OpenCV: blue, green, red
    png = cv2.imencode(".png", red)[1].tobytes()
    item = {"bytes": png, "path": None}
    (path,) = v2.rglob("episode_000000.parquet")
    write_rows(path, rows(0, **{TOP: [item] * LENGTHS[0]}))
    write_info(v2, V2 | {"features": BASE["features"] | {TOP: {"dtype": "image"}}})
    found = read(v2, wanted("lerobot", camera="top"))
    assert not found.films
    assert found.episode.observations.shape == (LENGTHS[0], 6, 8, 3)
    assert found.episode.observations[0, 0, 0].tolist() == [200, 0, 0]


def test_of_several_cameras_one_must_be_named_shortly_or_in_full(v2, wanted):
    more = BASE["features"] | {"observation.images.wrist": {"dtype": "video"}}
    write_info(v2, V2 | {"features": more})
    with pytest.raises(PackError, match=r"choose by --camera: observation\.images\.top, obs"):
        read(v2, wanted("lerobot"))
    with pytest.raises(PackError, match=r"--camera left: not there; there are action, "):
        read(v2, wanted("lerobot", camera="left"))
    for name in ("top", TOP):
        assert read(v2, wanted("lerobot", camera=name)).episode.metadata["camera"] == TOP
    with pytest.raises(BadEpisode, match="missing_camera, no file"):
        read(v2, wanted("lerobot", camera="top,wrist"))
    for path in [*v2.rglob(f"{TOP}/*.mp4")]:
        wrist = path.parents[1] / "observation.images.wrist"
        wrist.mkdir(exist_ok=True)
        shutil.copy(path, wrist)
    found = read(v2, wanted("lerobot", camera=f"wrist,{TOP}"))
    assert [*found.films] == ["wrist", "top"]
    assert {one.count for one in found.films.values()} == {LENGTHS[0]}
    with pytest.raises(PackError, match=r"--camera top,action: several must be videos; name one"):
        read(v2, wanted("lerobot", camera="top,action"))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"codebase_version": "v1.6"}, r"codebase_version v1\.6; v2\.x and v3\.x are read"),
        ({"features": {"action": "float32"}}, "is no LeRobot dataset: TypeError"),
        ({"data_path": "../../{episode_index}"}, "is a path out of the dataset"),
        ({"data_path": "{nothing}"}, "is no LeRobot dataset: KeyError 'nothing'"),
        ({"fps": 0}, "fps 0; a rate above 0"),
        ({"chunks_size": 0}, "is no LeRobot dataset: ZeroDivisionError"),
        ({"features": {TOP: {"dtype": "video"}}}, "has no action; there are observation"),
    ],
)
def test_a_dataset_that_contradicts_itself_is_an_error(v2, wanted, info, message):
    write_info(v2, V2 | info)
    with pytest.raises(PackError, match=message):
        LeRobotFolder(root=v2, arguments=wanted("lerobot")).entries()


def test_a_folder_of_something_else_is_an_error(tmp_path, wanted):
    with pytest.raises(PackError, match=r"info\.json: no such file; name the folder of a LeRobot"):
        LeRobotFolder(root=tmp_path, arguments=wanted("lerobot")).entries()
