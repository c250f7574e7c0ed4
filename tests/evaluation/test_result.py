import json
import math

import pytest

from worldmodel_train.evaluation.result import Measured, load_result, save_result


def _with_trained(result, **scores):
    overall = result.trained.overall
    fields = {name: Measured(values=values) for name, values in scores.items()}
    trained = result.trained.model_copy(update={"overall": overall.model_copy(update=fields)})
    return result.model_copy(update={"trained": trained})


def test_a_result_comes_back_from_its_file_as_it_was(result, tmp_path):
    path = save_result(result, tmp_path)
    assert load_result(tmp_path) == result
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_nan_is_written_as_strict_json_and_read_back(result, tmp_path):
    path = save_result(_with_trained(result, predictor=(math.nan,)), tmp_path)
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert math.isnan(load_result(tmp_path).trained.overall.predictor.mean)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"num_clips"', '"clips"', "num_clips: missing"),
        ("{", "[", "is not JSON"),
        ('"pictures": []', '"pictures": [{"kind": "masks", "title": "", "width": 1, "height": 1, '
         '"file": "../secret.png"}]', r"pictures\.0\.file"),
    ],
)  # fmt: skip
def test_a_damaged_result_is_named_with_the_remedy(result, tmp_path, old, new, problem):
    path = save_result(result.model_copy(update={"pictures": ()}), tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"evaluation\.json: .*{problem}.*`wmt report`") as caught:
        load_result(tmp_path)
    assert "pydantic" not in str(caught.value)


def test_a_predictor_above_all_rivals_has_learned(result):
    assert result.learned
    assert not result.collapsed


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
def test_a_predictor_that_does_not_clear_a_rival_has_not_learned(result, scores):
    untrained = result.untrained.overall.model_copy(
        update={"predictor": Measured(values=(0.015, 0.015))}
    )
    rivals = result.untrained.model_copy(update={"overall": untrained})
    assert not _with_trained(result.model_copy(update={"untrained": rivals}), **scores).learned


@pytest.mark.parametrize(("rank", "collapsed"), [(10.25, False), (10.2, True), (math.nan, True)])
@pytest.mark.parametrize(("field", "factor"), [("rankme", 1), ("token_rankme", 2)])
def test_less_than_half_the_untrained_rank_of_clips_or_tokens_is_collapse(
    result, field, factor, rank, collapsed
):
    trained = result.trained.model_copy(update={field: rank * factor})
    assert result.model_copy(update={"trained": trained}).collapsed == collapsed


def test_one_value_has_no_spread_and_two_have_that_of_a_sample():
    assert Measured(values=(0.3,)).spread == 0
    assert Measured(values=(1.0, 3.0)).spread == pytest.approx(2**0.5)


def test_the_place_and_clip_baseline_is_judged_by_itself(result):
    assert result.beats_place_and_clip == (result.trained.overall.predictor.mean > 0.0777)
    assert _with_trained(result, place_and_clip=(0.9,)).learned == result.learned
    assert not _with_trained(result, place_and_clip=(0.9,)).beats_place_and_clip


def _task(result, trained, rival):
    scores = [
        score.model_copy(update={"knn": Measured(values=values)})
        for score, values in zip(result.probes.tasks[0].scores, (trained, rival), strict=True)
    ]
    return result.probes.tasks[0].model_copy(update={"scores": tuple(scores)})


@pytest.mark.parametrize(
    ("trained", "rival", "says"),
    [
        ((0.6, 0.6), (0.5, 0.5), "k-NN: training wins; "),
        ((0.5, 0.5), (0.6, 0.6), "k-NN: training does not win; "),
        ((0.5, 0.7), (0.5, 0.6), "k-NN: training does not win beyond the spread; "),
    ],
)
def test_the_probe_verdict_says_whether_training_wins(result, trained, rival, says):
    knn, linear = _task(result, trained, rival).verdicts
    assert knn.startswith(says)
    assert "(pooled 8x8 pixels)" in knn
    assert linear.startswith("Linear: training wins; ")
