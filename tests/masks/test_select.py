import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.masks.select import select


def random_sets(seed, batch=5, tokens=12):
    generator = np.random.default_rng(seed)
    members = generator.random((batch, tokens)) < generator.random((batch, 1))
    members[:, 0] = True
    return members, generator.random((batch, tokens))


@pytest.mark.parametrize("truncate", ["late", "random"])
@settings(deadline=None)
@given(seed=st.integers(0, 200))
def test_cut_sets_hold_members_only_as_many_as_the_smallest_has(truncate, seed):
    members, priority = random_sets(seed)
    index, valid = select(members, truncate, priority)
    assert valid is None
    assert index.shape == (5, members.sum(axis=1).min())
    assert torch.from_numpy(members).gather(1, index).all()
    assert (index.diff(dim=1) > 0).all()


@settings(deadline=None)
@given(seed=st.integers(0, 200))
def test_padded_sets_hold_every_member_once(seed):
    members, priority = random_sets(seed)
    index, valid = select(members, "none", priority)
    for row, ids in enumerate(index):
        kept = ids if valid is None else ids[valid[row]]
        assert kept.tolist() == members[row].nonzero()[0].tolist()
        assert set(ids.tolist()) == set(kept.tolist())


def test_late_loses_the_highest_ids_and_random_the_highest_priorities():
    members = np.array([[True, True, True, False], [False, False, True, True]])
    priority = np.array([[0.9, 0.1, 0.2, 0.0], [0.0, 0.0, 0.5, 0.5]])
    assert select(members, "late", priority)[0].tolist() == [[0, 1], [2, 3]]
    assert select(members, "random", priority)[0].tolist() == [[1, 2], [2, 3]]


@pytest.mark.parametrize(("multiple", "kept"), [(1, 7), (2, 6), (4, 4), (7, 7), (8, 7)])
@pytest.mark.parametrize("truncate", ["late", "random"])
def test_sets_are_cut_to_a_multiple_unless_they_are_smaller(truncate, multiple, kept):
    members = np.arange(12) < np.array([[7], [11]])
    index, valid = select(members, truncate, np.random.default_rng(0).random((2, 12)), multiple)
    assert (index.shape, valid) == ((2, kept), None)


def test_random_loses_each_member_as_often_when_it_cuts_to_a_multiple():
    draws, priority = 4000, np.random.default_rng(0).random((4000, 12))
    members = np.tile(np.arange(12) < 11, (draws, 1))
    index, _ = select(members, "random", priority, 4)
    kept = np.bincount(index.flatten(), minlength=12) / draws
    # each of 11 members is among the 8 kept; 0.007 is the standard deviation
    assert kept[:11] == pytest.approx(8 / 11, abs=0.03)
    assert kept[11] == 0


@pytest.mark.parametrize("truncate", ["late", "random", "none"])
def test_a_multiple_leaves_few_lengths_in_a_thousand_draws(truncate):
    generator = np.random.default_rng(0)
    members = generator.random((1000, 2, 256)) < generator.uniform(0.2, 0.9, (1000, 1, 1))
    lengths = {
        multiple: {select(one, truncate, one * 0.5, multiple)[0].shape[1] for one in members}
        for multiple in (1, 32)
    }
    assert all(length % 32 == 0 for length in lengths[32])
    assert len(lengths[32]) <= 8 < 100 < len(lengths[1])


@pytest.mark.parametrize("truncate", ["late", "random", "none"])
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 200))
def test_a_multiple_of_one_changes_nothing(truncate, seed):
    members, priority = random_sets(seed)
    fewest = int(members.sum(axis=1).min())
    index, _ = select(members, truncate, priority, 1)
    assert torch.equal(index, select(members, truncate, priority)[0])
    if truncate != "none":
        assert index.shape[1] == fewest


@pytest.mark.parametrize(("multiple", "length"), [(1, 9), (4, 12), (8, 12)])
def test_sets_are_padded_to_a_multiple_within_the_grid(multiple, length):
    members = np.arange(12) < np.array([[7], [9]])
    index, valid = select(members, "none", np.zeros((2, 12)), multiple)
    assert valid.sum(dim=1).tolist() == [7, 9]
    assert index.shape == valid.shape == (2, length)
