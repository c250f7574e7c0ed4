"""Probes are judged by videos, each seen several times; independent counts say the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    top_k_accuracy_score,
)
from torch import nn

from tests.evaluation.threads import on_ranks
from worldmodel_train.batch import Skip
from worldmodel_train.data.fixed import Views
from worldmodel_train.evaluation.probing.classification_result import (
    COMMONEST,
    classification_result,
)
from worldmodel_train.evaluation.probing.classification_scores import (
    NamedVideos,
    measure_accuracies,
)
from worldmodel_train.evaluation.probing.several_classes import several_classes_result

CLASSES = 7


class ReadsLogits(nn.Module):
    """Takes the first pixels of a clip for its logits; the second probe turns them round."""

    def num_segments(self):
        return 2

    def probe_names(self):
        return ["reads", "turned round"]

    def probabilities(self, clips):
        numbers = clips[:, 0, 0, :CLASSES, 0].float() / 10
        together = numbers.unflatten(0, (-1, 2)).sum(1)
        return torch.stack([together, -together]).softmax(-1)


def video(logits, class_number):
    """Views whose first pixels are these logits, of shape [segments x crops, classes]."""
    clips = torch.zeros(len(logits), 1, 1, CLASSES, 3, dtype=torch.uint8)
    clips[:, 0, 0, :, 0] = torch.as_tensor(logits, dtype=torch.uint8)
    times = torch.zeros(len(logits), 1)
    return Views(clips=clips, times=times, number=0, key="v", label=None, class_number=class_number)


def test_segments_are_seen_together_and_probabilities_of_crops_are_averaged():
    """The mean of logits would name class 0, of probabilities class 1."""
    first_crop, second_crop = [90, 0, 0, 0, 0, 0, 0], [0, 80, 0, 0, 0, 0, 0]
    third_crop = [0, 50, 0, 0, 0, 0, 0]
    segments = [first_crop, second_crop, third_crop] * 2
    found = measure_accuracies(
        NamedVideos(ReadsLogits(), [video(segments, 1)], num_crops=3, batch_size=1)
    )
    assert found.num_views == 3
    assert found.probes[0].name == "reads"
    assert found.probes[0].top1 == 1.0


def test_accuracies_equal_those_of_another_library():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 50)
    logits = np.stack([rng.permutation(100)[:CLASSES] for _ in range(50)])
    videos = [
        video(np.stack([row, row]), label)
        for row, label in zip(logits, labels.tolist(), strict=True)
    ]
    found = measure_accuracies(NamedVideos(ReadsLogits(), videos, num_crops=1, batch_size=8))
    best = {probe.name: probe for probe in found.probes}["reads"]
    assert best.top1 == pytest.approx(top_k_accuracy_score(labels, logits, k=1))
    assert best.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5))
    assert best.per_class == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))
    assert found.commonest == pytest.approx(np.bincount(labels).max() / 50)
    assert best.interval[0] < best.top1 < best.interval[1]


class ReadsAlone(ReadsLogits):
    """The first of the two by itself."""

    def probe_names(self):
        return ["alone"]

    def probabilities(self, clips):
        return super().probabilities(clips)[:1]


@pytest.mark.parametrize(("model", "chosen"), [(ReadsLogits(), True), (ReadsAlone(), False)])
def test_only_the_best_of_several_is_said_to_be_lucky(model, chosen):
    videos = [video([[9, 0, 0, 0, 0, 0, 0]] * 2, 0)]
    named = NamedVideos(model, videos, num_crops=1, batch_size=1)
    (section,) = classification_result(measure_accuracies(named)).sections
    assert ("a little lucky" in section.notes["Best probe"]) == chosen


def test_bad_videos_are_counted_and_named_in_the_report():
    videos = [Skip("corrupt", "a.tar", "x"), video([[1] * CLASSES] * 2, 0)]
    found = measure_accuracies(NamedVideos(ReadsLogits(), videos, num_crops=1, batch_size=4))
    result = classification_result(found)
    assert found.num_videos == 1
    assert "1 videos could not be read and do not count (corrupt 1)" in result.sections[0].text
    assert COMMONEST in result.numbers[0].baselines


def test_a_set_of_nothing_but_bad_videos_is_refused():
    with pytest.raises(ValueError, match="no video that can be read; 1 were skipped"):
        measure_accuracies(
            NamedVideos(ReadsLogits(), [Skip("corrupt", "a.tar", "x")], num_crops=1, batch_size=4)
        )


@pytest.fixture
def mixed():
    """Seventeen videos of random answers; some are bad."""
    rng = np.random.default_rng(0)
    rows = [np.stack([rng.permutation(100)[:CLASSES]] * 2) for _ in range(17)]
    videos = [
        video(row, int(label)) for row, label in zip(rows, rng.integers(0, 7, 17), strict=True)
    ]
    videos[3], videos[4] = Skip("too_short", "a.tar", "x"), Skip("corrupt", "a.tar", "y")
    return videos


def shares(videos, rank):
    return NamedVideos(
        ReadsLogits(), videos[rank.rank :: rank.world_size], num_crops=1, batch_size=2, ranks=rank
    )


@pytest.mark.parametrize(("world_size", "count"), [(2, 17), (6, 5)])
def test_several_ranks_find_together_what_one_finds(mixed, world_size, count):
    videos = mixed[:count]
    alone = measure_accuracies(NamedVideos(ReadsLogits(), videos, num_crops=1, batch_size=2))
    assert alone.num_videos == count - 2
    assert [skip.reason for skip in alone.skipped] == ["too_short", "corrupt"]
    found = on_ranks(world_size, lambda rank: measure_accuracies(shares(videos, rank)))
    assert found == [alone] * world_size


def test_precisions_of_several_ranks_are_those_of_one(mixed):
    labels = np.random.default_rng(1).random((17, CLASSES)) < 0.4
    videos = [
        one if isinstance(one, Skip) else replace(one, class_number=label)
        for one, label in zip(mixed, labels, strict=True)
    ]
    alone = several_classes_result(NamedVideos(ReadsLogits(), videos, num_crops=1, batch_size=2))
    found = on_ranks(3, lambda rank: several_classes_result(shares(videos, rank)))
    assert found == [alone] * 3


def test_ranks_of_which_one_has_no_good_video_do_not_mind_and_all_of_them_do(mixed):
    skip = Skip("corrupt", "a.tar", "x")
    found = on_ranks(2, lambda rank: measure_accuracies(shares([mixed[0], skip], rank)))
    assert [one.num_videos for one in found] == [1, 1]
    found = on_ranks(2, lambda rank: measure_accuracies(shares([skip] * 3, rank)))
    assert all("no video that can be read; 3 were skipped" in str(error) for error in found)


def test_of_several_classes_average_precision_is_that_of_another_library():
    rng = np.random.default_rng(0)
    labels = rng.random((40, CLASSES)) < 0.3
    labels[:, 3] = False  # a class that is true of no video has no precision
    logits = rng.integers(0, 100, (40, CLASSES)) + 40 * labels
    videos = [video(np.stack([row, row]), label) for row, label in zip(logits, labels, strict=True)]
    named = NamedVideos(ReadsLogits(), videos, num_crops=1, batch_size=16)
    result = several_classes_result(named)
    others = [number for number in range(CLASSES) if number != 3]
    softmax = torch.tensor(logits / 5.0).softmax(-1).numpy()
    expected = average_precision_score(labels[:, others], softmax[:, others])
    assert result.numbers[0].trained.mean == pytest.approx(expected, abs=1e-4)
    assert "reads" in result.caption
