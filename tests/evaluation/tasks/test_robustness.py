import pytest
from matplotlib.image import imread

from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.robustness import Config
from worldmodel_train.facts import ClipShape, DataFacts, SourceFacts
from worldmodel_train.probes.pooled_features import pooled_pixels


@pytest.mark.parametrize("names", [(), ("occlusion", "occlusion")])
def test_corruptions_that_measure_nothing_new_are_refused(names):
    with pytest.raises(ValueError, match="one or more different corruptions, of: gaussian_noise"):
        Config(corruptions=names)


def test_data_that_are_no_clips_are_refused(patch_means, subject):
    data = subject(patch_means(error=0.0), patch_means(error=0.0)).data
    windows = TrajectoriesConfig(
        name="data/trajectories", sources=(ShardsConfig(shards="episodes.tar"),), steps=2
    )
    offers = (Offer(objective=patch_means, preparation=None, data=one) for one in (data, windows))
    assert [list(Config().misfits(offer)) for offer in offers] == [
        [],
        ["corrupts clips, and the recipe reads none; leave it out"],
    ]


def test_what_is_done_to_time_is_refused_for_single_frames(patch_means, subject, monkeypatch):
    data = subject(patch_means(error=0.0), patch_means(error=0.0)).data
    held_out = SourceFacts(key=("data", "held_out"), clip=ClipShape(1, 16, 16), share=0.0)
    monkeypatch.setattr(type(data), "facts", lambda _: DataFacts(sources=(), held_out=held_out))
    offer = Offer(objective=patch_means, preparation=None, data=data)
    (misfit,) = Config().misfits(offer)
    assert misfit.startswith("dropped_frames and slow_motion do nothing to clips of one frame")
    assert not list(Config(corruptions=("gaussian_noise", "occlusion")).misfits(offer))


def test_one_video_is_too_few_to_measure(patch_means, subject, held_out, monkeypatch):
    models = subject(patch_means(error=0.0), patch_means(error=0.0))
    one = type(held_out)(clips=held_out.clips[:2], keys=("a", "a"), labels=(None,) * 2, skipped=())
    monkeypatch.setattr(type(models.data), "held_out_clips", lambda *_, **__: one)
    with pytest.raises(ValueError, match=r"data\.held_out gave 2 clips of one video; robustness"):
        Config().run(models)


def test_both_encoders_and_pixels_are_measured_alike(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0))
    result = Config(corruptions=("dropped_frames", "brightness")).run(models)
    assert result == Config(corruptions=("dropped_frames", "brightness"), batch_size=3).run(models)
    assert result.measured_on == (
        "7 clips of 3 held-out videos, each under 10 corruptions and strengths"
    )
    drift, retrieval = result.numbers
    assert list(drift.contenders) == [
        "trained", "untrained", "pooled 8x8 pixels", "another video",
    ]  # fmt: skip
    assert drift.trained == drift.baselines["untrained"]  # they are the same model
    assert retrieval.baselines["chance"].mean == pytest.approx(1 / 7)
    *_, table = result.sections[0].tables
    assert [row.name for row in table.rows][4:6] == [
        "0.7 of frames dropped", "16 grey levels brighter",
    ]  # fmt: skip
    middle = [table.rows[2].cells[0].mean, table.rows[7].cells[0].mean]
    assert drift.trained.mean == pytest.approx(sum(middle) / 2)
    assert table.remarks[0] == (
        "Beside untrained, trained drifts less in 0 of 10 rows, finds more clips in 0 and fewer "
        "in 0."
    )


def test_the_columns_are_of_the_features_that_they_name(patch_means, subject, monkeypatch):
    blind = patch_means(error=0.0)
    blind.project.data[1:] = 0  # sees red alone
    models = subject(patch_means(error=0.0), blind)
    monkeypatch.setattr(
        "worldmodel_train.probes.pooled_features.pooled_pixels",
        lambda clips: 0 * pooled_pixels(clips) + 1,
    )
    *_, table = Config(corruptions=("brightness",)).run(models).sections[0].tables
    assert [column.name for column in table.columns][:2] == ["Drift, trained", "Drift, untrained"]
    trained, untrained, pixels = (cell.mean for cell in table.rows[0].cells[:3])
    assert trained != untrained
    assert pixels != pixels  # features that are all alike have no scale


def test_the_picture_has_a_row_for_each_corruption(patch_means, subject, held_out):
    models = subject(patch_means(error=0.0), patch_means(error=0.0))
    (gallery,) = Config(corruptions=("gaussian_blur", "occlusion")).run(models).galleries
    (picture,) = gallery.pictures
    assert picture.file == "evaluation/robustness/corruptions_00.png"
    image = (255 * imread(models.run_dir / picture.file)[..., :3]).round().astype(int)
    assert image.shape[:2] == (picture.height, picture.width) == (3 + 2 * 19, 3 + 6 * 19)
    clean = held_out.clips[0, 2].numpy()
    assert (image[3:19, 3:19] == clean).all()
    assert (image[22:38, 3:19] == clean).all()
    assert (image[3:19, 22:38] != clean).any()
