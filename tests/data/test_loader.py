from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.loaded import (
    GLOBAL_BATCH,
    NUMBERS,
    EveryOtherToken,
    assert_same,
    batches,
    merged,
    position,
    prepare,
    samples,
)
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
from worldmodel_train.masks import Multiblock3D
from worldmodel_train.masks.draw import group_seed

CHANGED = {"rand_augment": {}, "erasing": {"probability": 1.0}}


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


def test_moving_crops_are_the_same_on_any_number_of_ranks(make_data, make_shard, make_video):
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3 + 20, (48, 1))  # lighter to the right
    picture = np.repeat(ramp[..., None], 3, axis=2)
    videos = {f"v{i}": make_video(4, picture=picture) for i in range(2)}
    clip = ClipConfig(frames=2, fps=10.0)
    source = SourceConfig(shards=str(make_shard("a.tar", videos)), clip=clip, protocol="vjepa2")
    data = make_data(sources=(source,), augment={"motion_shift": True, "scale": (0.2, 0.4)})
    alone = merged(batches(data, 1, micro_batch=8))
    ranks = [part for r in (0, 1) for part in batches(data, 1, rank=r, world_size=2)]
    assert_same(merged(ranks), alone)
    # both frames show the same picture, so what differs is where they were cut
    moved = [np.abs(clip[0].astype(int) - clip[1]).mean() for clip in alone.values()]
    assert max(moved) > 10


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


def test_two_passes_over_a_source_crop_it_differently(make_data, sources):
    first, second = (samples(b) for b in batches(make_data(sources=sources[:1]), 2, micro_batch=8))
    assert any((first[i] != second[j]).any() for i in first for j in second)


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
