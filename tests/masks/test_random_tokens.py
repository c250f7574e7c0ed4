import numpy as np
import pytest

from worldmodel_train.masks import RandomTokens, RandomTubes
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(4, 6, 5)


@pytest.mark.parametrize("sampler", [RandomTokens(hidden=0.75), RandomTubes(hidden=0.75)])
def test_every_token_is_seen_or_hidden_and_as_many_in_every_sample(sampler):
    masks = sampler.sample(GRID, seed=0, step=0, samples=range(50))
    both = np.concatenate((masks.context_index, masks.target_index[:, 0]), axis=1)
    assert (np.sort(both, axis=1) == np.arange(GRID.num_tokens)).all()
    assert masks.context_valid is None
    assert masks.target_valid is None


def test_tokens_are_hidden_evenly_and_apart():
    masks = RandomTokens(hidden=0.75).sample(GRID, seed=0, step=0, samples=range(4000))
    assert masks.target_index.shape == (4000, 1, 90)
    share = np.bincount(masks.target_index.flatten(), minlength=GRID.num_tokens) / 4000
    np.testing.assert_allclose(share, 0.75, atol=0.03)  # four standard deviations


def test_tubes_hide_a_place_all_the_time():
    masks = RandomTubes(hidden=0.75).sample(GRID, seed=0, step=0, samples=range(20))
    places = masks.target_index[:, 0].reshape(20, 4, 22) % 30
    assert (places == places[:, :1]).all()


def test_a_sample_is_masked_alike_whatever_else_is_in_the_batch_and_otherwise_by_another_seed():
    sampler = RandomTokens()
    one = sampler.sample(GRID, seed=3, step=9, samples=[7]).target_index[0]
    many = sampler.sample(GRID, seed=3, step=1, samples=[5, 6, 7]).target_index[2]
    other = sampler.sample(GRID, seed=4, step=1, samples=[5, 6, 7]).target_index[2]
    assert (one == many).all()
    assert (one != other).any()


def test_a_share_that_leaves_nothing_to_predict_is_refused():
    with pytest.raises(ValueError, match=r"random_tubes: hidden=0\.02 of 30 leaves 0 to predict"):
        RandomTubes(hidden=0.02).sample(GRID, seed=0, step=0, samples=[0])
