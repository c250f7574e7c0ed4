import pytest
import torch
from torch.nn.functional import one_hot

from worldmodel_train.data.fixed import Views
from worldmodel_train.evaluation.frozen import Contestants
from worldmodel_train.evaluation.probing.probe_suite import group_splits, run_probes
from worldmodel_train.evaluation.probing.time_versions import (
    TimeVersions,
    VersionFeatures,
    version_features,
)

VERSIONS = TimeVersions(frames=4, speeds=(1, 2, 4))
VIDEOS = torch.arange(30).repeat_interleave(4)


def _windows(number=2):
    return torch.arange(13, dtype=torch.uint8)[None, :, None, None, None].expand(
        number, 13, 16, 16, 3
    )


def _video(times, number=0):
    return Views(
        clips=_windows(len(times)), times=times, number=number, key="a", label=None,
        class_number=None,
    )  # fmt: skip


def test_versions_show_the_frames_that_their_names_say():
    assert VERSIONS.window == 13
    shown = {name: clips[0, :, 0, 0, 0].tolist() for name, clips in VERSIONS.shown(_windows())}
    assert shown == {
        "forward": [4, 5, 6, 7],
        "reversed": [7, 6, 5, 4],
        "in order": [0, 1, 11, 12],
        "swapped": [11, 12, 0, 1],
        "2x": [3, 5, 7, 9],
        "4x": [0, 4, 8, 12],
    }
    assert set().union(*VERSIONS.questions.values()) == shown.keys()


def test_a_window_past_the_end_of_its_video_is_seen_by_its_times():
    times = torch.arange(13.0).repeat(3, 1) / 8
    times[1, 10:] = times[1, 10]
    times[2, 12] = times[2, 11]  # a picture is missing, and the film runs on
    assert VERSIONS.runs_on(times).tolist() == [True, False, True]


def test_windows_of_short_videos_are_left_out_and_counted(patch_means):
    models = Contestants(trained=patch_means(error=0.0), untrained=patch_means(error=0.0, seed=1))
    whole = torch.arange(13.0).repeat(2, 1) / 8
    short = whole.clamp(max=1.0)
    half = torch.stack([whole[0], short[0]])
    videos = [_video(times) for times in (short, whole, half)]
    for batch_size in (1, 3):
        found = version_features(models, videos, VERSIONS, batch_size=batch_size)
        assert found.videos.tolist() == [1, 1, 2]
        assert found.num_short == 1
        assert {len(rows) for kinds in found.features.values() for rows in kinds.values()} == {3}
    with pytest.raises(ValueError, match=r"none of 1 videos of data\.held_out lasts for the 13"):
        version_features(models, videos[:1], VERSIONS, batch_size=2)


def _features(know):
    """Of three versions: which one it is, or nothing but the window."""
    generator = torch.Generator().manual_seed(0)
    window = torch.randn(len(VIDEOS), 8, generator=generator)
    names = VERSIONS.questions["playback speed"]
    told = one_hot(torch.arange(len(names)), 8) * know
    features = {
        name: {"x": window + told[place] + 0.1 * torch.randn(window.shape, generator=generator)}
        for place, name in enumerate(names)
    }
    return VersionFeatures(features=features, videos=VIDEOS, num_short=0).labelled(
        "playback speed", names
    )


def test_all_versions_of_all_clips_of_a_video_are_in_one_part():
    data = _features(know=0)
    assert data.labels["playback speed"].bincount().tolist() == [120, 120, 120]
    for test in group_splits(data.groups, splits=3, held_out=10):
        tested, learned = data.groups[test].unique(), data.groups[~test].unique()
        assert len(tested) == 10
        assert not torch.isin(tested, learned).any()


@pytest.mark.parametrize(("know", "accuracy", "margin"), [(30, 1, 0), (0, 1 / 3, 0.08)])
def test_features_that_tell_the_version_score_one_and_others_chance(know, accuracy, margin):
    data = _features(know)
    splits = list(group_splits(data.groups, splits=3, held_out=10))
    (task,) = run_probes(data, splits, neighbours=5).tasks
    assert task.chance == pytest.approx(1 / 3)
    assert task.scores[0].knn.mean == pytest.approx(accuracy, abs=margin)
    assert task.scores[0].linear.mean == pytest.approx(accuracy, abs=margin)
