"""Masks of spectrograms: blocks first, then whole times and bands, each a pure function."""

import pytest
import torch

from worldmodel_train.masks import Multiblock2D, TimeFrequency
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(1, 12, 8)  # times, bands
SAMPLER = TimeFrequency(ramp_steps=100, blocks=Multiblock2D(num_targets=3, min_keep=8))


def drawn(step, samples=range(6), sampler=SAMPLER, seed=1):
    return sampler.sample(GRID, seed=seed, step=step, samples=samples)


def kind(masks):
    """What the targets of a step are: blocks, times or bands."""
    rows, columns = masks.target_index // GRID.width, masks.target_index % GRID.width
    num_rows, num_columns = (len(x[0, 0].unique()) for x in (rows, columns))
    if num_columns == GRID.width:
        return "times"
    return "bands" if num_rows == GRID.height else "blocks"


def test_the_first_step_has_i_jepas_blocks():
    expected = SAMPLER.blocks.sample(GRID, seed=1, step=0, samples=range(6))
    found = drawn(0)
    assert torch.equal(found.context_index, expected.context_index)
    assert torch.equal(found.target_index, expected.target_index)


def test_the_share_of_times_and_bands_grows_with_the_steps():
    assert [SAMPLER.share(step) for step in (0, 25, 100, 10_000)] == [0, 0.25, 1, 1]
    kinds = [kind(drawn(step, range(2))) for step in range(200)]
    early, late = kinds[:25], kinds[100:]
    assert early.count("blocks") >= 15
    assert "blocks" not in late
    assert 30 <= late.count("times") <= 70  # of 100, each by the toss of a coin


def test_nothing_of_a_hidden_time_or_band_is_seen():
    seen = set()
    for step in range(100, 120):
        masks = drawn(step)
        what = kind(masks)
        seen.add(what)
        divide = (lambda x: x // GRID.width) if what == "times" else (lambda x: x % GRID.width)
        for context, target in zip(masks.context_index, masks.target_index, strict=True):
            assert not torch.isin(divide(context), divide(target)).any()
            for one in target:
                where = divide(one).unique()
                assert (where.diff() == 1).all()  # one stretch
                size = GRID.width if what == "times" else GRID.height
                assert len(one) == len(where) * size
    assert seen == {"times", "bands"}


def test_masks_are_a_function_of_seed_step_and_sample_alone():
    first, second = drawn(150, [4, 9]), drawn(150, [9])
    assert torch.equal(first.target_index[1], second.target_index[0])
    assert torch.equal(drawn(150, [4, 9]).context_index, first.context_index)
    assert not torch.equal(drawn(150, [4, 9], seed=2).target_index, first.target_index)


def test_targets_that_leave_nothing_to_hear_are_refused():
    greedy = TimeFrequency(
        ramp_steps=0, extent=(1.0, 1.0), blocks=Multiblock2D(num_targets=1, min_keep=0)
    )
    with pytest.raises(ValueError, match="leave no more than"):
        drawn(0, sampler=greedy)


def test_videos_are_refused_at_any_step():
    for step in (0, 1000):
        with pytest.raises(ValueError, match="frames of tokens"):
            SAMPLER.sample(TokenGrid(2, 12, 8), seed=0, step=step, samples=[0])
