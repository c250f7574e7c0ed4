import pytest
import torch

from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.fixed import Views
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.time_sense import Config
from worldmodel_train.recipe import load_recipe


def _of_frames(data, frames):
    clip = data.held_out.clip.model_copy(update={"frames": frames})
    return data.model_copy(update={"held_out": data.held_out.model_copy(update={"clip": clip})})


@pytest.fixture(autouse=True)
def films(monkeypatch):
    """Nine films of noise, of which no file is read."""

    def each_video(_, source, *, segments, every):
        generator = torch.Generator().manual_seed(0)
        shape = (segments, source.clip.frames, 16, 16, 3)
        for number in range(0, 9, every):
            yield Views(
                clips=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
                times=torch.arange(source.clip.frames).expand(segments, -1) / source.clip.fps,
                number=number, key=str(number), label=None, class_number=None,
            )  # fmt: skip

    monkeypatch.setattr(DataConfig, "each_video", each_video)


@pytest.mark.parametrize("speeds", [(1,), (2, 4), (1, 4, 2), (1, 2, 2), ()])
def test_speeds_that_tell_nothing_apart_are_refused(speeds):
    with pytest.raises(ValueError, match="must be 1 and one or more that rise from it"):
        Config(speeds=speeds)


def test_data_without_time_are_refused(patch_means):
    windows = TrajectoriesConfig(
        name="data/trajectories", sources=(ShardsConfig(shards="episodes.tar"),), steps=2
    )
    images = _of_frames(load_recipe("demo").data, 1)
    offers = (
        Offer(objective=patch_means, preparation=None, data=one)
        for one in (load_recipe("demo").data, windows, images)
    )
    assert [list(Config().misfits(offer)) for offer in offers] == [
        [],
        ["asks about the time of videos, and the recipe reads none; leave it out"],
        ["asks about time, and clips of one frame have none; leave it out"],
    ]


def test_the_three_questions_are_asked_of_both_encoders_and_pixels(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0, seed=1))
    result = Config(max_videos=9, clips_per_video=2, neighbours=3).run(models)
    assert result.measured_on == (
        "18 windows of 9 held-out videos, 3 of these videos to be tested on, in 3 ways of holding "
        "videos out"
    )
    assert [table.caption for table in result.sections[0].tables] == [
        "Arrow of time: 2 classes, the commonest 50.0 %",
        "Temporal order: 2 classes, the commonest 50.0 %",
        "Playback speed: 3 classes, the commonest 33.3 %",
    ]
    first, *_, last = result.numbers
    assert (first.name, last.name) == ("arrow of time, k-NN, mean", "playback speed, linear, 2x2x2")
    assert list(first.contenders) == ["trained", "pooled 8x8 pixels", "untrained", "chance"]
    assert last.baselines["chance"].mean == pytest.approx(1 / 3)
    assert len(first.trained.values) == 3


def test_more_parts_than_videos_are_refused(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0))
    with pytest.raises(ValueError, match="3 videos cannot be cut into splits=4; use fewer splits"):
        Config(max_videos=4, clips_per_video=1, splits=4).run(models)
