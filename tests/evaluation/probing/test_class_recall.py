"""Recall at 5 of each kind of class; independent counts say the same."""

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score, top_k_accuracy_score
from torch import nn

from tests.evaluation.threads import on_ranks
from worldmodel_train.batch import Skip
from worldmodel_train.data.fixed import Views
from worldmodel_train.evaluation.probing.anticipation_result import CHANCE, anticipation_result
from worldmodel_train.evaluation.probing.class_recall import classes_before, measure_recalls
from worldmodel_train.evaluation.probing.classification_scores import NamedVideos

KINDS = {"verb": slice(0, 8), "action": slice(8, 30)}


class Reads(nn.Module):
    """Takes the first pixels of a clip for its probabilities; the second probe turns them round."""

    def num_segments(self):
        return 1

    def probe_names(self):
        return ["reads", "turned round"]

    def probabilities(self, clips):
        numbers = clips[:, 0, 0, :, 0].float() / 256
        return torch.stack([numbers, 1 - numbers])


def video(numbers, *true):
    labels = np.zeros(30, dtype=bool)
    labels[list(true)] = True
    clips = torch.zeros(1, 1, 1, 30, 3, dtype=torch.uint8)
    clips[0, 0, 0, :, 0] = torch.as_tensor(numbers, dtype=torch.uint8)
    return Views(
        clips=clips, times=torch.zeros(1, 1), number=0, key="v", label=None, class_number=labels
    )


def named(videos):
    return NamedVideos(Reads(), videos, num_crops=1, batch_size=16)


@pytest.fixture
def answered():
    """Numbers, and true verbs and actions; the last of each is true of no clip."""
    rng = np.random.default_rng(0)
    numbers = np.stack([rng.permutation(256)[:30] for _ in range(120)])
    return numbers, rng.integers(0, 7, 120), 8 + rng.integers(0, 20, 120)


def count_by_hand(numbers, true, classes):
    """Class by class, with Python's own sorting."""
    shares = []
    for one in sorted(set(true)):
        clips = [row for row, label in zip(numbers, true, strict=True) if label == one]
        found = [one in sorted(classes, key=lambda c: -row[c])[:5] for row in clips]
        shares.append(sum(found) / len(found))
    return sum(shares) / len(shares)


def test_recalls_are_those_of_a_count_by_hand(answered):
    numbers, verbs, actions = answered
    rows = zip(numbers, verbs, actions, strict=True)
    recalls = measure_recalls(named([video(*row) for row in rows]), KINDS)
    for kind, true in (("verb", verbs), ("action", actions)):
        where, found = KINDS[kind], recalls[kind]
        every = range(where.start, where.stop)
        present = sorted(set(true))
        assert found.probes[0].recall == pytest.approx(count_by_hand(numbers, true, present))
        assert found.probes[0].of_all == pytest.approx(count_by_hand(numbers, true, every))
        assert found.num_present == len(present) < found.num_classes == len(every)
        turned = 255 - numbers.astype(int)
        assert found.probes[1].recall == pytest.approx(count_by_hand(turned, true, present))
        low, high = found.interval
        assert low < found.probes[found.best].recall < high


def test_of_all_classes_it_is_the_balanced_recall_of_another_library(answered):
    numbers, verbs, actions = answered
    rows = zip(numbers, verbs, actions, strict=True)
    found = measure_recalls(named([video(*row) for row in rows]), KINDS)["verb"]
    counts = np.bincount(verbs)
    weights = 1 / counts[verbs]
    expected = top_k_accuracy_score(
        verbs, numbers[:, :8], k=5, labels=range(8), sample_weight=weights
    )
    assert found.probes[0].of_all == pytest.approx(expected)
    hits = [v in np.argsort(-row[:8])[:5] for row, v in zip(numbers, verbs, strict=True)]
    said = np.where(hits, verbs, -1)
    labels = np.unique(verbs)
    recall = recall_score(verbs, said, labels=labels, average="macro", zero_division=0)
    assert found.probes[0].of_all == pytest.approx(recall)


def test_a_probe_that_cannot_tell_or_has_diverged_finds_nothing_by_luck():
    equal = torch.full((1, 1, 12), 0.5)
    assert classes_before(equal, torch.tensor([7])).sum() == 7
    assert classes_before(equal * float("nan"), torch.tensor([0])).sum() >= 5


def test_a_clip_without_a_class_of_a_kind_is_refused(answered):
    with pytest.raises(ValueError, match=r"has 0 labels of the kind 'action'; give each clip one"):
        measure_recalls(named([video(answered[0][0], 1)]), KINDS)
    with pytest.raises(ValueError, match=r"has 2 labels of the kind 'verb'"):
        measure_recalls(named([video(answered[0][0], 1, 2, 9)]), KINDS)


def test_several_ranks_find_together_what_one_finds(answered):
    videos = [video(*row) for row in zip(*answered, strict=True)][:31]
    alone = measure_recalls(named(videos), KINDS)

    def measure(rank):
        own = videos[rank.rank :: rank.world_size]
        return measure_recalls(
            NamedVideos(Reads(), own, num_crops=1, batch_size=4, ranks=rank), KINDS
        )

    assert on_ranks(2, measure) == [alone] * 2


def test_the_report_has_each_kind_beside_chance_and_names_bad_videos(answered):
    numbers, verbs, actions = answered
    videos = [video(*row) for row in zip(numbers, verbs, actions, strict=True)]
    seen = named([*videos, Skip("corrupt", "a.tar", "x")])
    recalls = measure_recalls(seen, KINDS)
    result = anticipation_result(recalls, seen)
    assert [number.name for number in result.numbers[::2]] == [
        "verb: mean-class recall at 5",
        "action: mean-class recall at 5",
    ]
    assert result.numbers[0].baselines[CHANCE].mean == pytest.approx(5 / 7)
    assert result.numbers[3].baselines[CHANCE].mean == pytest.approx(5 / 22)
    assert "1 were skipped as corrupt" in result.sections[0].text
    assert result.measured_on.startswith("120 held-out clips of 7 classes of verb, 20")
    assert result.sections[0].tables[0].rows[0].look == "ours"
