import os
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.data.config import AugmentConfig, DataConfig, DecoderConfig, LoaderConfig
from worldmodel_train.data.health import BadDataError
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
from worldmodel_train.masks import Multiblock3D
from worldmodel_train.masks.draw import MaskPreparation, group_seed
from worldmodel_train.types import Masks

GLOBAL_BATCH = 8
CHANGED = {"rand_augment": {}, "erasing": {"probability": 1.0}}


class EveryOtherToken:
    """A mask sampler that writes its arguments into the masks."""

    def sample(self, grid, *, seed, step, samples):
        context = torch.tensor([[seed, step, sample, grid.num_tokens] for sample in samples])
        return Masks(context_index=context, target_index=context[:, None])


@pytest.fixture
def sources(make_video, make_shard):
    def shard(name, levels, frames):
        videos = {f"{name}{v}": make_video(8, levels=[v] * 8) for v in levels}
        path = make_shard(f"{name}.tar", videos)
        return SourceConfig(
            name=name, shards=str(path), clip=ClipConfig(frames=frames, fps=10.0), weight=1.0
        )

    return shard("short", range(20, 120, 20), 2), shard("long", range(130, 250, 20), 4)


@pytest.fixture
def make_data(sources):
    def make(workers=0, sources=sources, size=16, augment=None, **loader):
        return DataConfig(
            sources=sources,
            augment=AugmentConfig.model_validate({"size": size} | (augment or {})),
            decoder=DecoderConfig(name="auto"),
            loader=LoaderConfig(workers=workers, prefetch=1, **loader),
        )

    return make


def prepare(masks):
    return MaskPreparation(samplers=tuple(masks), tubelet=2, patch=8)


def position(rank=0, world_size=1, micro_batch=4, first_step=0):
    return LoaderPosition(
        seed=11,
        rank=rank,
        world_size=world_size,
        micro_batch=micro_batch,
        global_batch=GLOBAL_BATCH,
        first_step=first_step,
    )


NUMBERS = (EveryOtherToken(),)


def batches(data, count, masks=NUMBERS, **place):
    loader = data.build_loader(prepare(masks), position(**place))
    return list(islice(iter(loader), count))


def samples(batch):
    """Sample number -> its clip, for all groups of a batch."""
    return {
        int(masks[2]): group.clips[i].numpy()
        for group in batch.content.groups
        for i, masks in enumerate(group.masks[0].context_index)
    }


def assert_same(left, right):
    assert left.keys() == right.keys()
    for number in left:
        np.testing.assert_array_equal(left[number], right[number])


def merged(parts):
    return {number: clip for batch in parts for number, clip in samples(batch).items()}


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


@pytest.mark.parametrize(
    ("of_one_length", "told"),
    [(3, "use 4 or a divisor"), ((6, 2), "have 3 clips in the mean")],
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


def test_masks_are_drawn_for_the_seed_the_step_the_sample_and_its_grid(make_data):
    for t, batch in enumerate(batches(make_data(), 3, micro_batch=8)):
        for group in batch.content.groups:
            tokens = group.clips.shape[1] // 2 * 4
            for seed, step, sample, grid_tokens in group.masks[0].context_index.tolist():
                assert (seed, step, grid_tokens) == (group_seed(11, 0), t, tokens)
                assert sample // GLOBAL_BATCH == t


def test_mask_groups_that_are_configured_alike_draw_from_seeds_of_their_own(make_data):
    twice = Multiblock3D(num_blocks=2, spatial_scale=(0.3, 0.3))
    (batch,) = batches(make_data(size=64), 1, micro_batch=8, masks=(twice, twice))
    first, second = batch.content.groups[0].masks
    assert first.target_index.tolist() != second.target_index.tolist()


@pytest.mark.parametrize(
    ("world_size", "micro_batch"),
    [
        (2, 2),
        *(pytest.param(*split, marks=pytest.mark.slow) for split in ((1, 4), (2, 4), (4, 2))),
    ],
)
def test_each_optimizer_step_has_the_same_samples_on_any_number_of_ranks(
    make_data, world_size, micro_batch
):
    data, steps = make_data(), 2
    alone = batches(data, steps, micro_batch=8)
    passes = steps * GLOBAL_BATCH // (world_size * micro_batch)
    ranks = [
        batches(data, passes, rank=r, world_size=world_size, micro_batch=micro_batch)
        for r in range(world_size)
    ]
    for step in range(steps):
        share = slice(step * passes // steps, (step + 1) * passes // steps)
        assert_same(merged(part for rank in ranks for part in rank[share]), samples(alone[step]))


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_workers_change_nothing(make_data, workers):
    data = [make_data(number, augment=CHANGED) for number in (0, workers)]
    for left, right in zip(batches(data[0], 4), batches(data[1], 4), strict=True):
        assert left.origin.first_sample == right.origin.first_sample
        assert_same(samples(left), samples(right))


def test_training_clips_are_changed_as_the_recipe_says(make_data):
    (plain,), (changed,) = batches(make_data(), 1), batches(make_data(augment=CHANGED), 1)
    for sample, clip in samples(plain).items():
        assert np.ptp(clip) < 20  # of one level
        assert np.ptp(samples(changed)[sample]) > 80  # with a box of noise in it


@pytest.mark.slow
def test_batches_that_are_held_stay_what_they_were_while_others_come_and_go(make_data):
    loader = make_data(1).build_loader(prepare(NUMBERS), position())
    held = [batch for number, batch in enumerate(islice(iter(loader), 24)) if number % 3 == 0]
    for left, right in zip(held, batches(make_data(), 24)[::3], strict=True):
        assert_same(samples(left), samples(right))


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_resumed_loader_continues_bit_for_bit(make_data, workers):
    whole = batches(make_data(workers), 6)
    tail = batches(make_data(workers), 2, first_step=2)
    for left, right in zip(whole[4:], tail, strict=True):
        assert_same(samples(left), samples(right))
        for a, b in zip(left.content.groups, right.content.groups, strict=True):
            assert torch.equal(a.masks[0].context_index, b.masks[0].context_index)


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


def test_two_passes_over_a_source_crop_it_differently(make_data, sources):
    first, second = (samples(b) for b in batches(make_data(sources=sources[:1]), 2, micro_batch=8))
    assert any((first[i] != second[j]).any() for i in first for j in second)


def test_bad_samples_are_replaced_and_named(make_data, make_shard, make_video):
    good = {f"good{i}": make_video(4) for i in range(3)}
    bad = {"html": b"<html>404</html>", "empty": b""}
    path = make_shard("mixed.tar", {**good, **bad, "lone": b"v"}, without_json=["lone"])
    source = SourceConfig(shards=str(path), clip=ClipConfig(frames=2, fps=10.0))
    parts = batches(make_data(sources=(source,)), 6)
    assert [part.content.num_samples for part in parts] == [4] * 6
    skips = {(skip.reason, skip.key) for part in parts for skip in part.origin.skipped}
    assert skips == {("corrupt_video", "html"), ("empty_file", "empty"), ("missing_json", "lone")}
    again = batches(make_data(1, sources=(source,)), 6)
    assert [p.origin.skipped for p in again] == [p.origin.skipped for p in parts]
    assert_same(merged(parts), merged(again))


def test_a_truncated_shard_costs_only_the_samples_it_lost(make_data, make_shard, make_video):
    path = make_shard("cut.tar", {f"v{i}": make_video(4) for i in range(4)})
    os.truncate(path, path.stat().st_size * 3 // 5)
    source = SourceConfig(shards=str(path), clip=ClipConfig(frames=2, fps=10.0))
    parts = batches(make_data(sources=(source,)), 4)
    assert [part.content.num_samples for part in parts] == [4] * 4
    assert {skip.reason for part in parts for skip in part.origin.skipped} == {"truncated_shard"}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_source_that_is_all_bad_stops_the_run_naming_shard_and_key(
    make_data, make_shard, workers
):
    path = make_shard("bad.tar", {"broken": b"no video"})
    source = SourceConfig(name="k710", shards=str(path), clip=ClipConfig(frames=2))
    with pytest.raises(BadDataError, match=r"k710.*'broken' in .*bad\.tar"):
        batches(make_data(workers, sources=(source,), max_attempts=3), 1)


@pytest.mark.slow
def test_an_empty_shard_is_reported_once(make_data, make_shard, make_video):
    full = make_shard("full.tar", {"1": make_video(4)})
    empty = make_shard("empty.tar", {})
    source = SourceConfig(shards=(str(full), str(empty)), clip=ClipConfig(frames=2, fps=10.0))
    first, second = batches(make_data(sources=(source,)), 2)
    assert [skip.reason for skip in first.origin.skipped] == ["empty_shard"]
    assert not second.origin.skipped


@settings(deadline=None)
@given(
    world_size=st.integers(1, 64),
    micro_batch=st.integers(1, 16),
    accumulation=st.integers(1, 4),
    step=st.integers(0, 10**9),
)
def test_ranks_and_passes_tile_every_step_without_gap_or_overlap(
    world_size, micro_batch, accumulation, step
):
    global_batch = world_size * micro_batch * accumulation
    firsts = [
        LoaderPosition(
            seed=0,
            rank=rank,
            world_size=world_size,
            micro_batch=micro_batch,
            global_batch=global_batch,
            first_step=0,
        ).first_sample(step * accumulation + part)
        for rank in range(world_size)
        for part in range(accumulation)
    ]
    begin = step * global_batch
    assert sorted(firsts) == list(range(begin, begin + global_batch, micro_batch))


def test_making_an_iterator_leaves_torchs_generator_alone(make_data):
    loader = make_data().build_loader(prepare([EveryOtherToken()]), position())
    before = torch.get_rng_state()
    next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_that_does_not_divide_is_refused_with_the_nearest_that_do():
    with pytest.raises(ValueError, match="use 6 or 12"):
        position(world_size=2, micro_batch=3)


def test_missing_shards_are_found_before_any_process_starts(make_data):
    source = SourceConfig(name="k710", shards="/no/such/*.tar", clip=ClipConfig(frames=2))
    with pytest.raises(ValueError, match="k710"):
        make_data(sources=(source,)).build_loader(prepare([]), position())


def test_decord_must_be_installed_where_it_is_asked_for(make_data, monkeypatch):
    monkeypatch.setattr("worldmodel_train.data.loader.decord_is_installed", lambda: False)
    data = make_data().model_copy(update={"decoder": DecoderConfig(name="decord")})
    with pytest.raises(ValueError, match="use auto or pyav"):
        data.build_loader(prepare([]), position())


def test_an_impossible_weight_is_refused_before_any_process_starts(make_data, sources):
    short, long = sources
    data = make_data(sources=(short, long.model_copy(update={"weight": 1e-5})))
    with pytest.raises(ValueError, match=r"data\.sources\[1\]"):
        data.build_loader(prepare(NUMBERS), position())
