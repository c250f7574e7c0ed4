import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from worldmodel_train.masks import MaskConfig, Multiblock2D
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(1, 16, 16)


@settings(deadline=None, max_examples=40)
@given(
    side=st.tuples(st.integers(8, 20), st.integers(8, 20)),
    step=st.integers(0, 100),
    truncate=st.sampled_from(["late", "random", "none"]),
)
def test_no_target_is_visible_and_the_context_keeps_enough(side, step, truncate):
    masks = Multiblock2D(truncate=truncate).sample(
        TokenGrid(1, *side), seed=0, step=step, samples=range(6)
    )
    assert masks.target_index.shape[:2] == (6, 4)
    assert masks.target_valid is None
    for row in range(6):
        context = masks.context_index[row]
        if masks.context_valid is not None:
            context = context[masks.context_valid[row]]
        assert len(context) > 10
        assert len(context.unique()) == len(context)
        assert not set(context.tolist()) & set(masks.target_index[row].flatten().tolist())


@pytest.mark.slow
# Measured on the released I-JEPA sampler at 224 px with patches of 14.
@pytest.mark.parametrize(
    ("batch", "steps", "context", "target"), [(1, 500, 0.430, 0.173), (24, 100, 0.304, 0.173)]
)
def test_shares_are_those_of_the_released_sampler(batch, steps, context, target):
    shapes = []
    for step in range(steps):
        samples = range(step * batch, (step + 1) * batch)
        masks = Multiblock2D(truncate="late").sample(GRID, seed=0, step=step, samples=samples)
        shapes.append([masks.context_index.shape[1] / 256, masks.target_index.shape[2] / 256])
    measured = torch.tensor(shapes).mean(dim=0).tolist()
    assert measured == pytest.approx([context, target], abs=0.01)


def test_the_context_of_a_wide_image_is_as_large_a_share_as_of_a_square_one():
    sampler = Multiblock2D(num_targets=1, target_scale=(0.01, 0.01), context_scale=(0.9, 0.9))
    wide = sampler.sample(TokenGrid(1, 16, 64), seed=0, step=0, samples=[0])
    assert wide.context_index.shape[1] > 0.8 * 16 * 64


def test_targets_are_rectangles_of_the_asked_size():
    for step in range(30):
        masks = Multiblock2D().sample(GRID, seed=0, step=step, samples=range(4))
        area = masks.target_index.shape[-1]
        assert 0.13 * 256 < area < 0.22 * 256
        rows, columns = masks.target_index // 16, masks.target_index % 16
        height = rows.amax(-1) - rows.amin(-1) + 1
        width = columns.amax(-1) - columns.amin(-1) + 1
        assert (height * width == area).all()
        assert len(height.unique()) == 1


def test_one_uniform_drives_scale_and_aspect():
    """The smallest targets are the flattest: height over width grows with the area."""
    areas, aspects = [], []
    sampler = Multiblock2D(target_scale=(0.1, 0.3))
    for step in range(200):
        target = sampler.sample(GRID, seed=0, step=step, samples=[0]).target_index[0, 0]
        rows, columns = target // 16, target % 16
        areas.append(float(len(target)))
        aspects.append(float(len(rows.unique())) / float(len(columns.unique())))
    assert torch.corrcoef(torch.tensor([areas, aspects]))[0, 1] > 0.8


def test_the_last_row_and_column_are_in_no_block():
    masks = Multiblock2D().sample(GRID, seed=0, step=0, samples=range(200))
    ids = torch.cat([masks.context_index.flatten(), masks.target_index.flatten()]).unique()
    assert ids.max() < 15 * 16
    assert (ids % 16).max() == 14


def test_equal_arguments_give_equal_masks():
    first, second = (Multiblock2D().sample(GRID, seed=1, step=2, samples=[5, 6]) for _ in range(2))
    assert torch.equal(first.context_index, second.context_index)
    assert torch.equal(first.target_index, second.target_index)


def test_places_do_not_depend_on_neighbours():
    together = Multiblock2D().sample(GRID, seed=1, step=2, samples=[5, 6, 7])
    alone = Multiblock2D().sample(GRID, seed=1, step=2, samples=[6])
    assert torch.equal(together.target_index[1], alone.target_index[0])


def test_clips_are_refused():
    with pytest.raises(ValueError, match="4 frames of tokens; use multiblock3d"):
        Multiblock2D().sample(TokenGrid(4, 8, 8), seed=0, step=0, samples=[0])


@pytest.mark.slow
def test_targets_that_leave_no_context_are_an_error_with_a_remedy():
    sampler = Multiblock2D(context_scale=(0.04, 0.04))
    with pytest.raises(ValueError, match="use fewer or smaller targets"):
        sampler.sample(GRID, seed=0, step=0, samples=[0])


def test_the_union_reads_multiblock2d_by_name():
    config = TypeAdapter(MaskConfig).validate_python({"name": "multiblock2d", "num_targets": 2})
    assert config == Multiblock2D(num_targets=2)


def test_a_multiple_that_no_context_can_reach_is_refused():
    with pytest.raises(ValueError, match="multiblock2d: multiple=300 is more than the 256 tokens"):
        Multiblock2D(multiple=300).sample(GRID, seed=0, step=0, samples=[0])
