import pytest

from worldmodel_train.evaluation.tasks.latent_prediction import Config


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_mask_seeds_that_measure_nothing_new_are_refused(seeds):
    with pytest.raises(ValueError, match="mask_seeds"):
        Config(mask_seeds=seeds)


def test_one_clip_is_too_few_to_measure(patch_means, subject, held_out, monkeypatch):
    models = subject(patch_means(error=0.0), patch_means(error=0.0))
    one = type(held_out)(clips=held_out.clips[:1], keys=("a",), labels=(None,), skipped=())
    monkeypatch.setattr(type(models.data), "held_out_clips", lambda *_, **__: one)
    with pytest.raises(ValueError, match=r"data\.held_out gave 1 clips"):
        Config().run(models)


def test_numbers_and_pictures_are_of_both_models(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.9, seed=1))
    result = Config(mask_seeds=(0, 1), picture_clips=2, neighbours=2).run(models)
    explained = result.numbers[0]
    assert explained.trained.values == (1.0, 1.0)
    assert explained.baselines["untrained"].mean < 0
    assert result.measured_on.startswith("7 clips of 3 held-out videos, with 2 draws of masks")
    assert [gallery.title for gallery in result.galleries] == [
        "What is seen and what is predicted", "Features as colours", "Nearest clips",
    ]  # fmt: skip
    files = [picture.file for gallery in result.galleries for picture in gallery.pictures]
    assert all(file.startswith("evaluation/latent_prediction/") for file in files)
    assert all((models.run_dir / file).is_file() for file in files)
