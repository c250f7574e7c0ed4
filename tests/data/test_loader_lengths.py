"""Clips of several lengths, and several clips of a video."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.data.loaded import assert_same, batches, merged, samples
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
from worldmodel_train.facts import RecipeFacts


def test_a_batch_holds_its_samples_grouped_by_clip_length(make_data):
    (batch,) = batches(make_data(), 1)
    assert batch.content.num_samples == 4
    assert batch.origin.first_sample == 0
    assert sorted(samples(batch)) == [0, 1, 2, 3]
    lengths = [group.clips.shape[1] for group in batch.content.groups]
    assert lengths == sorted(set(lengths))
    for group in batch.content.groups:
        assert group.length_index == {2: 0, 4: 1}[group.clips.shape[1]]
        assert group.clips.dtype == torch.uint8
        assert group.clips.shape[2:] == (16, 16, 3)


def test_a_micro_batch_may_be_of_one_length_whatever_the_ranks_and_wherever_it_begins(make_data):
    data = make_data().model_copy(update={"of_one_length": 4})
    alone = batches(data, 8, micro_batch=4)
    lengths = [[group.clips.shape[1] for group in batch.content.groups] for batch in alone]
    assert all(len(of_batch) == 1 for of_batch in lengths)
    assert {of_batch[0] for of_batch in lengths} == {2, 4}
    later = batches(data, 2, micro_batch=4, first_step=2)
    first = later[0].origin.first_sample
    both = [
        batch
        for rank in (0, 1)
        for batch in batches(data, 4, rank=rank, world_size=2, micro_batch=4)
    ]
    everything, ranks, resumed = merged(alone), merged(both), merged(later)
    assert ranks.keys() == everything.keys()
    assert all(np.array_equal(ranks[n], everything[n]) for n in ranks)
    assert first > 0
    assert all(np.array_equal(resumed[n], everything[n]) for n in resumed if n in everything)


def test_micro_batches_may_be_as_large_as_their_length_allows_whatever_the_ranks(make_data):
    data = make_data().model_copy(update={"of_one_length": (6, 3)})
    alone = batches(data, 8, micro_batch=4)
    groups = [group for batch in alone for group in batch.content.groups]
    # as many of either length: twice as many batches of three
    assert [tuple(group.clips.shape[:2]) for group in groups[:6]] == [(3, 4), (6, 2), (3, 4)] * 2
    both = [
        batch
        for rank in (0, 1)
        for batch in batches(data, 4, rank=rank, world_size=2, micro_batch=4)
    ]
    assert_same(merged(both), merged(alone))
    later = batches(data, 2, micro_batch=4, first_step=2)
    assert_same(merged(later), merged(alone[4:6]))


@pytest.mark.slow
def test_pairs_of_a_video_in_micro_batches_of_one_length_are_the_same_for_any_ranks(make_data):
    one_length = {"of_one_length": (6, 3)}
    data = make_data(1, clips_per_video=2).model_copy(update=one_length)
    here = make_data(0, clips_per_video=2).model_copy(update=one_length)
    alone = batches(here, 8, micro_batch=8)
    shapes = [tuple(g.clips.shape[:2]) for batch in alone for g in batch.content.groups]
    # three or six videos of two clips each, as many of either length
    assert shapes[:6] == [(6, 4), (12, 2), (6, 4)] * 2
    for batch in alone:
        shown = levels(batch)
        assert all(abs(shown[n] - shown[n + 1]) < 8 for n in shown if n % 2 == 0)
    both = [
        batch
        for rank in (0, 1)
        for batch in batches(data, 4, rank=rank, world_size=2, micro_batch=4)
    ]
    assert_same(merged(both), merged(alone))
    assert_same(merged(batches(data, 2, micro_batch=8, first_step=3)), merged(alone[3:5]))


@pytest.mark.parametrize(
    ("of_one_length", "told"),
    [
        (3, "use 4 or a divisor"),
        ((6, 2), "have 3 clips in the mean"),
        ((2000, 1), "less than 1 of 1000"),
    ],
)
def test_a_micro_batch_that_lengths_do_not_fill_is_told(make_data, of_one_length, told):
    data = make_data().model_copy(update={"of_one_length": of_one_length})
    ((key, message),) = data.misfits(4)
    assert (key, told in message) == (("data", "of_one_length"), True)
    assert not list(make_data().model_copy(update={"of_one_length": (4, 4)}).misfits(4))


def test_a_number_for_a_length_that_no_source_has_is_told(make_data):
    data = make_data().model_dump() | {"of_one_length": (4, 4, 2)}
    with pytest.raises(ValueError, match=r"for 3 clip lengths.* have 2, \[2, 4\] frames"):
        DataConfig.model_validate(data)


def levels(batch):
    """The grey level of each sample, which tells its video."""
    return {number: round(float(clip.mean())) for number, clip in samples(batch).items()}


def test_clips_of_one_video_follow_each_other_and_are_cut_differently(
    make_data, make_video, make_shard
):
    videos = {f"v{i}": make_video(20, levels=range(10 * i, 10 * i + 20)) for i in range(0, 20, 4)}
    source = SourceConfig(
        shards=str(make_shard("a.tar", videos)), clip=ClipConfig(frames=2, fps=10.0)
    )
    (batch,) = batches(make_data(sources=(source,), clips_per_video=4), 1, micro_batch=8)
    together = [[levels(batch)[4 * video + i] for i in range(4)] for video in range(2)]
    assert all(max(clips) - min(clips) < 21 and len(set(clips)) > 1 for clips in together)
    assert abs(min(together[0]) - min(together[1])) > 21


@pytest.mark.slow
def test_videos_are_drawn_in_the_order_that_one_clip_each_would_have(make_data):
    alone = {n: level for b in batches(make_data(), 3) for n, level in levels(b).items()}
    pairs = {
        n: level for b in batches(make_data(clips_per_video=2), 6) for n, level in levels(b).items()
    }
    assert sorted(pairs) == list(range(24))
    assert all(abs(pairs[n] - alone[n // 2]) < 8 for n in pairs)  # videos are 20 apart


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world_size", "micro_batch", "workers"), [(2, 2, 0), (1, 4, 2), (4, 2, 1)]
)
def test_several_clips_per_video_are_the_same_for_any_ranks_and_workers_and_after_a_resume(
    make_data, world_size, micro_batch, workers
):
    whole = merged(batches(make_data(clips_per_video=2), 3, micro_batch=8))
    data, passes = make_data(workers, clips_per_video=2), 2 * 8 // (world_size * micro_batch)
    resumed = [
        part
        for rank in range(world_size)
        for part in batches(
            data, passes, rank=rank, world_size=world_size, micro_batch=micro_batch, first_step=1
        )
    ]
    assert_same(merged(resumed), {n: clip for n, clip in whole.items() if n >= 8})


def test_a_bad_video_is_replaced_for_all_clips_that_it_should_give(
    make_data, make_shard, make_video
):
    good = {f"good{i}": make_video(4, levels=[40 * i] * 4) for i in range(3)}
    path = make_shard("mixed.tar", {**good, "html": b"<html>404</html>"})
    source = SourceConfig(shards=str(path), clip=ClipConfig(frames=2, fps=10.0))
    parts = batches(make_data(sources=(source,), clips_per_video=2), 6)
    for part in parts:
        shown = levels(part)
        assert all(abs(shown[n] - shown[n + 1]) < 8 for n in shown if n % 2 == 0)
    keys = [skip.key for part in parts for skip in part.origin.skipped]
    assert len(keys) >= 2
    assert len(keys) % 2 == 0
    assert set(keys) == {"html"}


def test_methods_are_told_how_many_clips_of_each_length_a_micro_batch_has(make_data):
    data = make_data(clips_per_video=2).model_copy(update={"of_one_length": (6, 3)})
    facts = RecipeFacts(
        data=data.facts(), seed=0, steps=1, micro_batch=8, activation_checkpointing="none"
    )
    assert [facts.together(frames) for frames in (2, 4)] == [12, 6]
    alike = replace(facts, data=make_data().facts())
    assert alike.together(2) == alike.together(4) == 8
