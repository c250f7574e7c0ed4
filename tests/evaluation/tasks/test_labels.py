import pytest
import torch

from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.fixed import Views
from worldmodel_train.data.source_config import ShardsConfig, SourceConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.labels import Config
from worldmodel_train.recipe import load_recipe

CLASSES = tuple(load_recipe("probe_pen_strokes").data.classes)
TRAIN, TEST = (f"assets:pen_strokes/{part}/*.tar" for part in ("train", "held_out"))


def _source(shards):
    return SourceConfig(shards=shards, clip={"frames": 4, "fps": 2})


@pytest.fixture
def drawings(monkeypatch):
    """Clips with a bright line at the place of their class, of which no file is read."""

    def each_video(data, source, *, segments, every):
        generator = torch.Generator().manual_seed(source.clip.frames)
        for number in range(0, 60, every):
            shape = (segments, source.clip.frames, 16, 16, 3)
            clips = torch.randint(0, 8, shape, dtype=torch.uint8, generator=generator)
            clips[:, :, 2 * (number % 8)] += 200
            yield Views(
                clips=clips,
                times=torch.zeros(shape[:2]),
                number=number, key=str(number), label=data.classes[number % 8],
                class_number=number % 8,
            )  # fmt: skip

    monkeypatch.setattr(DataConfig, "each_video", each_video)


@pytest.mark.usefixtures("drawings")
def test_shards_of_its_own_are_learned_from_and_tested_on(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0, seed=1))
    config = Config(
        train=_source(TRAIN), test=_source(TEST), classes=CLASSES, neighbours=3, batch_size=7
    )
    result = config.run(models)
    assert result.measured_on == "60 videos to learn from and 60 to be tested on, of 8 classes"
    assert list(result.numbers[0].contenders) == [
        "trained", "untrained", "pooled 8x8 pixels", "chance",
    ]  # fmt: skip
    knn = result.numbers[0].baselines
    assert knn["pooled 8x8 pixels"].mean == 1
    assert knn["chance"].mean == pytest.approx(8 / 60)
    assert {number.name.split(", ")[0] for number in result.numbers} == {
        "k-NN", "linear", "recall@1", "recall@5", "mean average precision",
    }  # fmt: skip


def test_the_recipes_own_shards_and_classes_are_the_default(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0))
    data = load_recipe("probe_pen_strokes", ["data.augment.size=16"]).data
    models = type(models)(**(vars(models) | {"data": data}))
    result = Config(max_clips=24, neighbours=3).run(models)
    # of 180 every 11th, and of 60 every 3rd
    assert result.measured_on == "17 videos to learn from and 20 to be tested on, of 12 classes"


def test_shards_of_both_parts_are_refused(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0))
    with pytest.raises(ValueError, match=r"tar is both to learn from and to be tested on"):
        Config(train=_source(TRAIN), test=_source(TRAIN), classes=CLASSES).run(models)


def test_what_nobody_names_is_asked_for(patch_means):
    labelled = load_recipe("probe_pen_strokes").data
    many = labelled.model_copy(update={"labels": "many"})
    bare = load_recipe("demo").data.model_copy(update={"held_out": None})
    windows = TrajectoriesConfig(
        name="data/trajectories", sources=(ShardsConfig(shards="episodes.tar"),), steps=2
    )

    def misfits(data, config):
        return list(config.misfits(Offer(objective=patch_means, preparation=None, data=data)))

    assert misfits(labelled, Config()) == []
    assert misfits(bare, Config(test=_source(TEST), classes=CLASSES)) == []
    assert misfits(many, Config()) == [
        "reads one label of each video, and data.labels=many; give classes of its own"
    ]
    assert misfits(bare, Config()) == [
        "needs labelled shards to be tested on: give test, or data.held_out",
        "needs the names of the classes: give classes, or data.classes",
    ]
    assert misfits(windows, Config()) == [
        "reads labelled clips as the recipe does, and the recipe reads none; leave it out"
    ]


def test_classes_come_from_a_file_and_differ(tmp_path):
    (tmp_path / "classes.txt").write_text("left\nright\n")
    assert Config(classes=str(tmp_path / "classes.txt")).classes == ("left", "right")
    with pytest.raises(ValueError, match="2 classes of 1 names; name two or more, each once"):
        Config(classes=("a", "a"))
