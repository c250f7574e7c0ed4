from dataclasses import replace

import pytest
import torch

from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation.tasks.view_changes import Config


@pytest.fixture
def many_clips(monkeypatch, subject, held_out):
    clips = torch.cat((held_out.clips, 255 - held_out.clips))
    more = replace(held_out, clips=clips, keys=2 * held_out.keys, labels=2 * held_out.labels)
    monkeypatch.setattr(DataConfig, "clips_of", lambda *_, **__: more)


def test_clips_that_are_too_few_are_refused(patch_means, subject):
    models = subject(patch_means(error=0.1), patch_means(error=0.1))
    with pytest.raises(ValueError, match="7 held-out clips are too few"):
        Config().run(models)


@pytest.mark.usefixtures("many_clips")
def test_both_models_and_pixels_are_asked_the_same(patch_means, subject):
    models = subject(patch_means(error=0.1), patch_means(error=0.1))
    result = Config(splits=1, batch_size=3).run(models)
    names = [number.name for number in result.numbers]
    assert names == [
        "told, place", "told, size", "told, mirrored", "told, brightness", "told, contrast",
        "told, saturation", "told, hue", "same clip found",
    ]  # fmt: skip
    for number in result.numbers:
        # both models are the same here; of few clips none may be mirrored, which scores NaN
        assert repr(number.trained) == repr(number.baselines["untrained"])
        assert "pooled 8x8 pixels" in number.baselines
    assert result.measured_on == "two views of each of 14 held-out clips"
