"""Probes of frozen encoders are those of the released configurations."""

import pytest

from tests.recipes.stated import ANTICIPATED, EVALUATED, load


@pytest.mark.parametrize("name", EVALUATED)
def test_an_evaluation_sees_all_clips_of_a_video_and_as_many_videos_as_its_source(name):
    stated, recipe = EVALUATED[name], load(name)
    segments = recipe.method.segments
    assert recipe.data.loader.clips_per_video == segments
    assert recipe.train.micro_batch == stated.micro_batch * segments
    assert recipe.train.global_batch == stated.nodes * stated.gpus * recipe.train.micro_batch
    assert recipe.train.steps == stated.epochs * stated.steps_an_epoch
    assert recipe.data.held_out.protocol == "vjepa2"


@pytest.mark.parametrize(
    ("name", "rates", "decays"),
    [
        ("eval_ssv2_vitl", [5e-3, 3e-3, 1e-3, 3e-4, 1e-4], [0.01, 0.1, 0.4, 0.8]),
        ("eval_k400_vitl", [5e-3, 3e-3, 1e-3, 3e-4, 1e-4], [0.01, 0.1, 0.4, 0.8]),
        ("eval_diving48_vitl", [1e-3, 3e-4, 1e-4], [0.8]),
        ("eval_in1k_vitl", [2e-3, 1.5e-3, 1e-3, 5e-4], [8e-3, 4e-3, 2e-3, 1e-3, 5e-4]),
        ("eval_ek100_vitl", [5e-3, 3e-3, 1e-3, 3e-4, 1e-4], [1e-4, 1e-3, 1e-2, 1e-1]),
    ],
)
def test_probes_try_the_released_rates_and_decays(name, rates, decays):
    recipe = load(name)
    rate, decay = recipe.optim.lr.at(0, 1), recipe.optim.weight_decay.at(0, 1)
    assert [rate * scale for scale in recipe.method.grid.rates] == pytest.approx(rates)
    assert [decay * scale for scale in recipe.method.grid.decays] == pytest.approx(decays)


def test_probes_of_diving_see_four_layers_as_released():
    """Counted from 0, out_layers are 17, 19, 21 and 23; other probes see the last alone."""
    assert load("eval_diving48_vitl").method.layers == (18, 20, 22, 24)
    assert load("eval_ssv2_vitl").method.layers is None


@pytest.mark.parametrize("name", EVALUATED | ANTICIPATED)
def test_evaluations_augment_as_released(name):
    """rand-m7-n4-mstd0.5-inc1 for videos, and a box erased from a quarter of all clips."""
    augment = load(name).data.augment
    changes, erasing = augment.rand_augment, augment.erasing
    if name == "eval_in1k_vitl":
        assert changes is None  # AutoAugment there
    else:
        assert (changes.operations, changes.magnitude, changes.magnitude_std) == (4, 7, 0.5)
    assert erasing.probability == 0.25
    assert erasing.area == pytest.approx((0.02, 1 / 3), rel=1e-3)
    assert erasing.aspect == pytest.approx((0.3, 1 / 0.3), rel=1e-3)
    assert augment.scale == (0.08, 1.0)
