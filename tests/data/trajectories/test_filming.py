"""A filmed episode, from the files of its recorder to a window of training."""

import tarfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.packing.encode import EncodeConfig
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.packing.journal import PackArguments
from worldmodel_train.data.packing.prepared import Rejected
from worldmodel_train.data.packing.shard_writer import ShardWriter
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.cameras import camera_of
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.formats.recording import Film, Recording
from worldmodel_train.data.trajectories.pack import EpisodeJob, prepare_episode
from worldmodel_train.data.trajectories.windows import fixed_windows
from worldmodel_train.facts import FrameSize

LENGTH = 8


class OneFilm:
    """A reader of one episode, whose state is the level of its frames."""

    def __init__(self, films):
        self._films = films

    def entries(self):
        return [Entry(source="a", path=Path("a"))]

    def read(self, _):
        level = (40 + 20 * np.arange(LENGTH, dtype=np.float32))[:, None]
        episode = Episode(actions=np.diff(level, axis=0), states=level, metadata={"fps": 5.0})
        return Recording(episode=episode, films=self._films)


@pytest.fixture
def video(tmp_path):
    """Ten frames of 96 x 64, each of a level of its own, brighter in the outer quarters."""
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=60, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(10):
            picture = np.full((64, 96, 3), 40 + 20 * number, np.uint8)
            picture[:, :16] = picture[:, -16:] = 255
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def prepared(video, folder, *, count=LENGTH, size=None, cameras=("",), **encode):
    film = Film(path=video, count=count, fps=5.0)
    later = replace(
        film, start_s=2 / 60, fps=60.0
    )  # of each camera after the first, two frames later
    reader = OneFilm({name: later if number else film for number, name in enumerate(cameras)})
    episodes = EpisodeArguments(format="droid", size=size)
    arguments = PackArguments(episodes=episodes, encode=EncodeConfig(**encode))
    (entry,) = reader.entries()
    scratch = folder / "0.sample"
    job = EpisodeJob(reader=reader, entry=entry, arguments=arguments, scratch=scratch)
    return prepare_episode(job, lambda: None)


def test_a_window_of_training_shows_the_frames_of_its_states(tmp_path, video):
    sample = prepared(video, tmp_path, size=(64, 64), crf=8)
    writer = ShardWriter(tmp_path / "a.tar", tmp_path)
    writer.add("a", sample)
    writer.finish()
    source = ShardsConfig(shards=str(tmp_path / "a.tar"))
    config = TrajectoriesConfig(name="data/trajectories", sources=(source,), steps=4, size=32)
    window = fixed_windows(config, source, limit=1)
    shown = window.observations.float().mean((2, 3, 4))
    np.testing.assert_allclose(shown, window.states[..., 0], atol=3)
    assert window.observations.shape == (1, 4, 32, 32, 3)


def test_of_several_cameras_each_has_a_video_and_a_recipe_names_one(tmp_path, video):
    sample = prepared(video, tmp_path, size=(64, 64), crf=8, cameras=("left", "wrist"))
    assert [*sample.files] == [".left.mp4", ".wrist.mp4", ".npz", ".json"]
    writer = ShardWriter(tmp_path / "a.tar", tmp_path)
    writer.add("a", sample)
    writer.finish()
    source = ShardsConfig(shards=str(tmp_path / "a.tar"))
    for camera, brighter in (("left", 0), ("wrist", 40), (None, 0)):
        config = TrajectoriesConfig(
            name="data/trajectories", sources=(source,), steps=4, size=32, camera=camera
        )
        window = fixed_windows(config, source, limit=1)
        shown = window.observations.float().mean((2, 3, 4))
        np.testing.assert_allclose(shown, window.states[..., 0] + brighter, atol=3)


def seen_from_two_sides(folder, video, *, episodes=3):
    """A shard of these episodes, seen by `left` and, 40 levels brighter, by `wrist`."""
    sample = prepared(video, folder, size=(64, 64), crf=8, cameras=("left", "wrist"))
    writer = ShardWriter(folder / "a.tar", folder)
    for number in range(episodes):
        writer.add(f"episode{number}", sample)
    writer.finish()
    return ShardsConfig(shards=str(folder / "a.tar"))


def both_cameras(source, **options):
    return TrajectoriesConfig.model_validate(
        {
            "name": "data/trajectories", "sources": (source,), "steps": 4, "size": 32,
            "camera": ["left", "wrist"], "loader": {"workers": 0}, **options,
        }
    )  # fmt: skip


def brighter(window):
    """How much brighter each window is than its states say."""
    shown = window.observations.float().mean((2, 3, 4)) - window.states[..., 0]
    assert (shown - shown.round(decimals=-1)).abs().max() < 3.5, "all frames are of one camera"
    return shown.mean(dim=1).round(decimals=-1).int().tolist()


def test_of_several_cameras_each_window_is_of_the_one_whose_turn_it_is(tmp_path, video):
    config = both_cameras(seen_from_two_sides(tmp_path, video))
    place = LoaderPosition(
        seed=11, rank=0, world_size=1, micro_batch=4, global_batch=4, first_step=0
    )
    first, second = islice(iter(config.build_loader(None, place)), 2)
    levels = {"left": 0, "wrist": 40}
    names = [camera_of(("left", "wrist"), seed=11, number=number) for number in range(8)]
    assert names.count("left") == 4
    assert brighter(first.content) + brighter(second.content) == [levels[name] for name in names]
    resumed = next(iter(config.build_loader(None, replace(place, first_step=1))))
    assert torch.equal(resumed.content.observations, second.content.observations)


def test_two_ranks_have_together_the_cameras_of_one(tmp_path, video):
    config = both_cameras(seen_from_two_sides(tmp_path, video))
    whole = LoaderPosition(
        seed=11, rank=0, world_size=1, micro_batch=8, global_batch=8, first_step=0
    )
    alone = next(iter(config.build_loader(None, whole))).content
    halves = [
        next(iter(config.build_loader(None, replace(whole, rank=r, world_size=2, micro_batch=4))))
        for r in (0, 1)
    ]
    shown = torch.cat([half.content.observations for half in halves])
    assert torch.equal(shown, alone.observations)
    assert brighter(halves[0].content) + brighter(halves[1].content) == brighter(alone)
    assert sorted(brighter(alone)) == [0] * 4 + [40] * 4


def test_a_stream_gives_the_camera_whose_turn_it_is_too(tmp_path, video):
    stored = seen_from_two_sides(tmp_path, video)
    piped = ShardsConfig(shards=f"pipe:cat {tmp_path / 'a.tar'}")
    place = LoaderPosition(
        seed=11, rank=0, world_size=1, micro_batch=8, global_batch=8, first_step=0
    )
    one, other = (
        next(iter(both_cameras(source).build_loader(None, place))).content
        for source in (stored, piped)
    )
    # all episodes are alike, so that only cameras and beginnings may differ, and do not
    assert torch.equal(one.observations, other.observations)
    assert sorted(brighter(other)) == [0] * 4 + [40] * 4


def test_held_out_windows_are_of_the_same_cameras_each_time(tmp_path, video):
    source = seen_from_two_sides(tmp_path, video)
    once, again = (fixed_windows(both_cameras(source), source, limit=3) for _ in range(2))
    assert torch.equal(once.observations, again.observations)
    assert set(brighter(once)) == {0, 40}


def test_an_episode_that_a_named_camera_did_not_see_is_counted_as_such(tmp_path, video):
    source = seen_from_two_sides(tmp_path, video)
    with pytest.raises(ValueError, match=r"begins with no episode; .*: missing_camera"):
        both_cameras(source, camera=["left", "top"]).open_facts()
    for camera, message in (
        (["left", "Left"], "camera=left,Left: name each once"),
        ([], "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            both_cameras(source, camera=camera)
    with pytest.raises(ValueError, match="camera=left,wrist has its frames in videos; give `size`"):
        both_cameras(source, size=None)


def test_a_film_has_the_rate_of_its_rows_and_the_size_asked_for(tmp_path, video):
    sample = prepared(video, tmp_path, size=(64, 64), gop=4)
    with av.open(str(sample.files[".mp4"])) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames) == (5, LENGTH)
        keys = [n for n, frame in enumerate(container.decode(stream)) if frame.key_frame]
    assert (stream.width, stream.height) == FrameSize(64, 64)
    assert keys == [0, 4]
    assert sample.seconds == LENGTH / 5


def test_without_a_size_the_short_side_counts(tmp_path, video):
    sample = prepared(video, tmp_path, short_side=32)
    with av.open(str(sample.files[".mp4"])) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (48, 32)


def test_the_same_episode_has_the_same_bytes(tmp_path, video):
    contents = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        sample = prepared(video, tmp_path / name)
        contents.append((sample.content, sample.files[".mp4"].read_bytes()))
    assert contents[0] == contents[1]


def test_a_video_that_ends_early_is_rejected_and_leaves_nothing(tmp_path, video):
    (tmp_path / "scratch").mkdir()
    found = prepared(video, tmp_path / "scratch", count=11)
    assert found == Rejected(reason="length_mismatch", detail="10 frames for 11 observations")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_files_of_a_sample_lie_in_the_order_of_the_tar(tmp_path, video):
    writer = ShardWriter(tmp_path / "a.tar", tmp_path)
    writer.add("a", prepared(video, tmp_path))
    writer.finish()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["a.mp4", "a.npz", "a.json"]
