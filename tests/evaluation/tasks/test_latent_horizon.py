import numpy as np
import pytest
import torch
from matplotlib.image import imread

from worldmodel_train.config import RecipeError
from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.latent_horizon import Config
from worldmodel_train.jepa.vjepa import VJepa
from worldmodel_train.recipe import load_recipe


@pytest.fixture
def held_out():
    """Clips of six tubelets, at eight pictures a second."""
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (4, 12, 16, 16, 3), dtype=torch.uint8, generator=generator)
    return FixedClips(clips=clips, keys=tuple("aabb"), labels=(None,) * 4, skipped=())


def test_numbers_table_and_picture_are_of_each_horizon(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.9, seed=1))
    result = Config(batch_size=3).run(models)
    nearest, farthest, mean = result.numbers
    assert nearest.trained.mean == farthest.trained.mean == mean.trained.mean == 1.0
    assert mean.baselines.keys() == {
        "mean latent", "copy last tubelet", "line through last two", "untrained",
    }  # fmt: skip
    assert mean.baselines["mean latent"].mean == 0
    assert mean.baselines["untrained"].mean < 0
    (table,) = result.sections[0].tables
    assert [row.name for row in table.rows] == ["1 (0.25 s)", "2 (0.5 s)", "3 (0.75 s)"]
    copied = [row.cells[2].mean for row in table.rows]
    assert nearest.baselines["copy last tubelet"].mean == copied[0]
    assert farthest.baselines["copy last tubelet"].mean == copied[2]
    assert mean.baselines["copy last tubelet"].mean == pytest.approx(sum(copied) / 3)
    assert result.measured_on == "4 clips of 2 held-out videos, 3 of 6 tubelets seen"


def test_the_picture_is_as_large_as_the_report_is_told(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.9, seed=1))
    ((picture,),) = (gallery.pictures for gallery in Config().run(models).galleries)
    assert picture.file == "evaluation/latent_horizon/horizons.png"
    drawn = imread(models.run_dir / picture.file)
    assert drawn.shape[:2] == (picture.height, picture.width)
    colors = np.unique(drawn[..., :3].reshape(-1, 3).round(1), axis=0)
    assert (colors.max(axis=1) - colors.min(axis=1) > 0.3).sum() >= 5  # a line each


def test_what_is_seen_is_a_share_of_the_tubelets(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.9))
    assert Config(visible=0.7).run(models).measured_on.endswith("4 of 6 tubelets seen")
    with pytest.raises(ValueError, match=r"latent_horizon needs 2 .* leaves 5 and 1; use visible="):
        Config(visible=0.9).run(models)


def test_a_method_that_masks_nothing_is_refused():
    offer = Offer(objective=VJepa, preparation=None, data=load_recipe("demo").data)
    assert list(Config().misfits(offer)) == [
        "measures latents of masked clips, and this method masks none; leave it out"
    ]


def test_clips_with_too_little_past_or_future_are_refused_with_the_recipe():
    short = ["data.held_out.clip.frames=6", "data.sources.0.clip.frames=6"]
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", [*short, "evaluation=[{name: latent_horizon}]"])
    assert caught.value.problems == (
        'override "evaluation=[{name: latent_horizon}]": evaluation.0.name: latent_horizon needs 2 '
        "tubelets to see and 2 to predict, and visible=0.5 of the 3 of a held-out clip leaves 2 "
        "and 1; give clips of 4 tubelets or more",
    )
    assert load_recipe("demo", ["evaluation=[{name: latent_horizon}]"]).evaluation
