"""When a predictor has learned, and when latents have collapsed."""

import math
from dataclasses import replace

import pytest

from worldmodel_train.evaluation.task_result import Measured


def _with(compared, who="trained", **scores):
    model = getattr(compared, who)
    fields = {name: Measured(values=values) for name, values in scores.items()}
    overall = model.overall.model_copy(update=fields)
    return replace(compared, **{who: model.model_copy(update={"overall": overall})})


def test_a_predictor_above_all_rivals_has_learned(compared):
    assert compared.learned
    assert not compared.collapsed


@pytest.mark.parametrize(
    "scores",
    [
        {"predictor": (-0.01, -0.01)},
        {"predictor": (0.3, -0.2)},  # above zero, but not beyond its spread
        {"copy_nearest": (0.3, 0.3)},
        {"predictor": (0.01, 0.01)},  # below the untrained model's copy is fine, below 0 is not
        {"predictor": (math.nan,)},
    ],
)
def test_a_predictor_that_does_not_clear_a_rival_has_not_learned(compared, scores):
    rivals = _with(compared, "untrained", predictor=(0.015, 0.015))
    assert not _with(rivals, **scores).learned


@pytest.mark.parametrize(("rank", "collapsed"), [(10.25, False), (10.2, True), (math.nan, True)])
@pytest.mark.parametrize(("field", "factor"), [("rankme", 1), ("token_rankme", 2)])
def test_less_than_half_the_untrained_rank_of_clips_or_tokens_is_collapse(
    compared, field, factor, rank, collapsed
):
    trained = compared.trained.model_copy(update={field: rank * factor})
    assert replace(compared, trained=trained).collapsed == collapsed


def test_the_place_and_clip_baseline_is_judged_by_itself(compared):
    assert compared.beats_place_and_clip
    beaten = _with(compared, place_and_clip=(0.9,))
    assert beaten.learned == compared.learned
    assert not beaten.beats_place_and_clip
