import json

import cv2
import numpy as np
import pytest
from matplotlib.image import imread

from worldmodel_train.config import RecipeError
from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.violation_of_expectation import Config
from worldmodel_train.jepa.vjepa import VJepa
from worldmodel_train.recipe import load_recipe

SCENE = {"things": 1, "speed": [0.4, 0.9]}


def config(**changes):
    values = {"sets": 2, "scene": SCENE}
    return Config.model_validate(values | {"violations": ("vanish", "reverse_gravity")} | changes)


def test_both_models_and_pixels_are_measured_on_the_same_films(patch_means, subject):
    models = subject(patch_means(error=0.5), patch_means(error=0.5, seed=1))
    result = config().run(models)
    assert [number.name for number in result.numbers] == [
        "all, mean surprise", "all, most surprise", "vanish", "reverse_gravity",
    ]  # fmt: skip
    by_mean, *_ = result.numbers
    assert by_mean.baselines.keys() == {
        "untrained", "copy of the last frame", "line through the last two", "chance",
    }  # fmt: skip
    # the model is equally wrong everywhere, so nothing surprises it more than anything else
    assert by_mean.trained.mean == pytest.approx(0.5, abs=0.5)
    assert result.measured_on == (
        "4 sets of matched films of 2 kinds, in windows of 4 frames, 2 of them seen"
    )
    assert result == config().run(models)


def test_pictures_are_curves_and_a_set_of_each_kind(patch_means, subject):
    models = subject(patch_means(error=0.5), patch_means(error=0.5, seed=1))
    curves, strips = config().run(models).galleries
    assert [picture.title for picture in strips.pictures] == ["vanish", "reverse gravity"]
    for picture in (*curves.pictures, *strips.pictures):
        drawn = imread(models.run_dir / picture.file)
        assert drawn.shape[:2] == (picture.height, picture.width)


def test_intphys_films_are_measured_block_by_block(patch_means, subject, tmp_path):
    dev, generator = tmp_path / "dev", np.random.default_rng(0)
    for number in range(1, 5):
        folder = dev / "O2" / "01" / str(number)
        (folder / "scene").mkdir(parents=True)
        (folder / "status.json").write_text(json.dumps({"header": {"is_possible": number < 3}}))
        for frame in range(8):
            noise = generator.integers(0, 256 if number >= 3 else 2, (16, 16, 3), np.uint8)
            cv2.imwrite(str(folder / "scene" / f"scene_{frame + 1:03d}.png"), noise)
    models = subject(patch_means(error=0.5), patch_means(error=0.5, seed=1))
    result = config(intphys=str(dev), violations=("vanish",), intphys_every=1).run(models)
    block = result.numbers[-1]
    assert block.name == "intphys_O2"
    assert block.baselines["copy of the last frame"].mean == 1.0
    assert len(result.galleries[1].pictures) == 1
    with pytest.raises(ValueError, match=r"01: its films have 2 frames that are used, fewer than"):
        config(intphys=str(dev), violations=("vanish",), intphys_every=4).run(models)


def test_values_that_measure_nothing_are_refused():
    with pytest.raises(ValueError, match="one or more different ones, of: vanish"):
        config(violations=())
    with pytest.raises(ValueError, match=r"reverse_gravity is nothing where scene\.gravity=0"):
        config(scene={"things": 1, "gravity": 0.0})


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["data.augment.size=[64, 96]"], "films squares, and clips of the recipe are 64x96"),
        (
            ["data.sources.0.clip.frames=2", "data.held_out.clip.frames=2"],
            "visible=0.5 of the 1 tubelets of a clip leaves 0 of them to see",
        ),
    ],
)
def test_clips_that_it_cannot_film_are_refused_with_the_recipe(overrides, complaint):
    with pytest.raises(RecipeError, match=complaint):
        load_recipe("demo", [*overrides, "evaluation=[{name: violation_of_expectation}]"])


def test_a_method_that_masks_nothing_is_refused():
    offer = Offer(objective=VJepa, preparation=None, data=load_recipe("demo").data)
    assert list(config().misfits(offer)) == [
        "predicts latents of masked clips, and this method masks none; leave it out"
    ]
