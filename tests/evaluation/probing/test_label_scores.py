import pytest
import torch
from torch.nn.functional import one_hot

from worldmodel_train.evaluation.probing.label_result import label_result
from worldmodel_train.evaluation.probing.label_scores import LabelledVideos, measure_labels

CLASSES = 4
KNOWS, KNOWS_NOT = "trained encoder, mean", "untrained encoder, mean"


def _videos(number, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (number,), generator=generator)
    noise = torch.randn(number, CLASSES, generator=generator)
    return LabelledVideos(
        features={KNOWS: one_hot(labels, CLASSES) + 0.01 * noise, KNOWS_NOT: noise}, labels=labels
    )


@pytest.fixture(scope="module")
def found():
    return measure_labels(_videos(400, 0), _videos(400, 1), neighbours=5)


def test_features_that_know_the_label_score_one_everywhere(found):
    assert {name: float(one.mean()) for name, one in found.by_features[KNOWS].items()} == {
        "k-NN": 1, "linear": 1, "recall@1": 1, "recall@5": 1, "mean average precision": 1,
    }  # fmt: skip


def test_features_of_anything_else_score_chance(found):
    for measure, scores in found.by_features[KNOWS_NOT].items():
        assert float(scores.mean()) == pytest.approx(found.chance[measure], abs=0.07)


def test_each_measure_is_a_number_and_a_table_that_says_who_wins(found):
    result = label_result(found)
    assert result.measured_on == ("400 videos to learn from and 400 to be tested on, of 4 classes")
    assert [number.name for number in result.numbers] == [
        "k-NN, mean", "linear, mean", "recall@1, mean", "recall@5, mean",
        "mean average precision, mean",
    ]  # fmt: skip
    assert list(result.numbers[0].contenders) == ["trained", "untrained", "chance"]
    table = result.sections[0].tables[0]
    assert table.caption.startswith("By k-NN, chance 2")
    share, low, high = (cell.mean for cell in table.rows[1].cells)
    assert low < share < high
    assert table.remarks[0].endswith("training wins.")
    assert "Retrieval" in result.sections[0].notes


def test_training_that_is_no_better_is_not_said_to_win(found):
    same = dict.fromkeys((KNOWS, KNOWS_NOT), found.by_features[KNOWS_NOT])
    scores = type(found)(**(vars(found) | {"by_features": same}))
    (table, *_) = label_result(scores).sections[0].tables
    assert table.remarks[0].endswith(
        "+0.0 points, 95 % interval +0.0 to +0.0; training does not win."
    )


def test_classes_that_nothing_is_learned_of_count_and_are_said():
    train, test = _videos(100, 0), _videos(100, 1)
    seen = train.labels > 0
    train = LabelledVideos(
        features={kind: rows[seen] for kind, rows in train.features.items()},
        labels=train.labels[seen],
    )
    found = measure_labels(train, test, neighbours=5)
    known = float((test.labels > 0).float().mean())
    assert found.num_unknown == 100 - round(100 * known)
    # to what is learned from, the channel of the class that is missing is noise like any other
    precision = float(found.by_features[KNOWS]["mean average precision"].mean())
    assert precision == pytest.approx(known, abs=0.02)
    assert f"{found.num_unknown} test videos are of classes" in label_result(found).sections[0].text


def test_one_class_is_refused():
    train = LabelledVideos(features={KNOWS: torch.randn(3, 2)}, labels=torch.tensor([1, 1, 1]))
    with pytest.raises(ValueError, match="3 videos to learn from are all of one class"):
        measure_labels(train, train, neighbours=1)
