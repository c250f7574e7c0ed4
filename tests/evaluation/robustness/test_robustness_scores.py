import math
from collections import Counter

import pytest
import torch

from worldmodel_train.collection.film_batches import held_out_films
from worldmodel_train.collection.films import FilmsConfig
from worldmodel_train.evaluation.robustness.corruptions import CORRUPTIONS
from worldmodel_train.evaluation.robustness.robustness_scores import (
    drift,
    measure_robustness,
    probe_accuracies,
    retrieval,
)
from worldmodel_train.probes.pooled_features import pooled_pixels

VIDEOS = [str(number) for number in range(40)]


@pytest.fixture
def clean():
    return torch.randn(40, 16, generator=torch.Generator().manual_seed(0)) + 5


def test_what_has_not_moved_drifts_by_nothing_and_is_found(clean):
    assert drift(clean, clean, VIDEOS) == 0
    assert retrieval(clean, clean) == 1


def test_what_became_another_clip_drifts_by_one_and_is_lost(clean):
    other = clean.roll(1, dims=0)
    assert drift(clean, other, VIDEOS) == pytest.approx(1, abs=0.1)
    assert retrieval(clean, other) == 0


def test_drift_knows_no_scale_nor_origin(clean):
    moved = clean + torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    assert drift(7 * clean + 3, 7 * moved + 3, VIDEOS) == pytest.approx(
        drift(clean, moved, VIDEOS), rel=1e-5
    )


def test_clips_of_one_video_are_not_the_measure():
    clean = torch.tensor([[0.0], [0.0], [0.0], [2.0]])
    assert drift(clean, clean + 1, ["a", "a", "a", "b"]) == pytest.approx(0.5)


def test_features_that_collapsed_have_no_drift_and_find_as_chance_does():
    alike = torch.ones(4, 3)
    assert math.isnan(drift(alike, alike, VIDEOS[:4]))
    assert retrieval(alike, alike) == 0.25


def test_conditions_are_every_strength_of_the_corruptions_asked_for(held_out):
    names = ("occlusion", "brightness")
    measured = measure_robustness({"pixels": pooled_pixels}, held_out, names, seed=0)
    conditions = measured.conditions
    assert [(one.corruption, one.strength) for one in conditions] == [
        (name, strength) for name in names for strength in CORRUPTIONS[name].strengths
    ]
    drifts = [one.steadiness["pixels"].drift for one in conditions[5:]]
    assert drifts == sorted(drifts)
    assert drifts[0] > 0
    assert measured == measure_robustness({"pixels": pooled_pixels}, held_out, names, seed=0)
    assert measured != measure_robustness({"pixels": pooled_pixels}, held_out, names, seed=1)
    assert measured.clean_accuracy is None, "these clips have no classes"


def test_a_probe_learns_from_clean_clips_and_loses_what_a_corruption_hides():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    clean = torch.randn(40, 4, generator=generator)
    clean[:, 0] += 8 * labels
    turned = clean.clone()
    turned[:, 0] = 8 - turned[:, 0]
    hidden = clean.clone()
    hidden[:, 0] = 0
    accuracies = probe_accuracies(clean, [turned, hidden], labels, VIDEOS)
    assert accuracies[:2] == [1.0, 0.0]
    assert accuracies[2] == pytest.approx(0.5, abs=0.1), "all are taken for one class"


def test_where_clips_have_classes_a_probe_is_asked_under_every_corruption():
    clip = {"frames": 4, "fps": 8}
    config = FilmsConfig.model_validate(
        {"name": "data/films", "clip": clip, "size": 24, "label": "collision"}
    )
    films = held_out_films(config, 12)
    measured = measure_robustness({"pixels": pooled_pixels}, films, ("brightness",), seed=0)
    assert measured.clean_accuracy is not None
    assert measured.chance == pytest.approx(max(Counter(films.labels).values()) / 12)
    assert all(one.steadiness["pixels"].accuracy is not None for one in measured.conditions)
