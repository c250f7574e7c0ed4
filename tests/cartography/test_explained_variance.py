import math

import pytest
import torch

from worldmodel_train.cartography.explained_variance import (
    VarianceSums,
    copy_nearest_visible,
    explained_variance,
    token_places,
)
from worldmodel_train.types import LatentPair, Masks, TokenGrid


def _random_targets(seed=0):
    return torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(seed)) + 7


def test_a_perfect_prediction_explains_everything():
    target = _random_targets()
    assert explained_variance([LatentPair(predicted=target, target=target)]) == 1


def test_the_mean_latent_explains_nothing():
    target = _random_targets()
    mean = target.mean(dim=(0, 1, 2)).expand_as(target)
    pair = LatentPair(predicted=mean, target=target)
    assert explained_variance([pair]) == pytest.approx(0, abs=1e-6)


def test_a_prediction_off_by_a_known_error_explains_the_rest():
    target = torch.tensor([0.0, 2.0]).reshape(1, 1, 2, 1)
    pair = LatentPair(predicted=target + 0.5, target=target)
    assert explained_variance([pair]) == pytest.approx(1 - 0.5 / 2)


def test_batches_add_up_to_the_whole():
    target, noise = _random_targets(), 0.3 * _random_targets(1)
    whole = LatentPair(predicted=target + noise, target=target)
    parts = [LatentPair(predicted=whole.predicted[i : i + 1], target=target[i : i + 1])
             for i in range(3)]  # fmt: skip
    assert explained_variance(parts) == pytest.approx(explained_variance([whole]), abs=1e-12)


def test_padding_does_not_count_even_where_it_is_nan():
    target = _random_targets()
    valid = torch.ones(3, 2, 5, dtype=torch.bool)
    valid[:, :, 3:] = False
    padded = target.masked_fill(~valid[..., None], torch.nan)
    pair = LatentPair(predicted=padded, target=padded, valid=valid)
    assert explained_variance([pair]) == 1


def test_constant_targets_leave_nothing_to_explain():
    target = torch.full((2, 1, 3, 4), 0.1)
    pair = LatentPair(predicted=target + 1, target=target)
    assert math.isnan(explained_variance([pair]))


def test_a_large_mean_does_not_drown_a_small_variance():
    target = _random_targets().double() * 1e-2 + 100
    sums = VarianceSums.between(target + 1e-3, target)
    direct = 1 - 1e-6 / (target - target.mean(dim=(0, 1, 2))).square().mean(dim=(0, 1, 2)).mean()
    assert sums.explained_variance == pytest.approx(float(direct), abs=1e-6)


def test_token_places_count_width_fastest():
    places = token_places(TokenGrid(2, 2, 3))
    assert places[4].tolist() == [0, 1, 1]
    assert places[6].tolist() == [1, 0, 0]


def test_copying_takes_the_nearest_visible_token_and_the_first_of_equals():
    # one frame of 2 x 4 tokens; visible are 0 (top left) and 7 (bottom right)
    latents = torch.arange(8.0).reshape(1, 8, 1)
    masks = Masks(
        context_index=torch.tensor([[0, 7]]), target_index=torch.tensor([[[1, 3, 4, 6, 2, 5]]])
    )
    copied = copy_nearest_visible(latents, masks, TokenGrid(1, 2, 4))
    # token 2 at (0, 2): squared distances 4 and 2; token 5 at (1, 1): 2 and 4
    assert copied.flatten().tolist() == [0, 7, 0, 7, 7, 0]


def test_copying_between_equally_near_tokens_takes_the_first_of_the_context():
    latents = torch.arange(3.0).reshape(1, 3, 1)
    for context, expected in (([0, 2], 0), ([2, 0], 2)):
        masks = Masks(context_index=torch.tensor([context]), target_index=torch.tensor([[[1]]]))
        assert copy_nearest_visible(latents, masks, TokenGrid(1, 1, 3)).item() == expected


def test_copying_crosses_time_where_that_is_nearer():
    latents = torch.arange(12.0).reshape(1, 12, 1)
    masks = Masks(context_index=torch.tensor([[3, 8]]), target_index=torch.tensor([[[2, 9]]]))
    # 2 frames of 1 x 6: token 2 at (0, 2) is 1 from 3 and 1 from 8 at (1, 2); 9 at (1, 3)
    assert copy_nearest_visible(latents, masks, TokenGrid(2, 1, 6)).flatten().tolist() == [3, 3]


def test_copying_never_takes_padding_of_the_context():
    latents = torch.arange(4.0).reshape(1, 4, 1)
    masks = Masks(
        context_index=torch.tensor([[0, 3]]),
        target_index=torch.tensor([[[2]]]),
        context_valid=torch.tensor([[True, False]]),
    )
    assert copy_nearest_visible(latents, masks, TokenGrid(1, 1, 4)).item() == 0


def test_copying_explains_all_of_latents_that_are_smooth_in_patches():
    latents = torch.tensor([0.0, 0.0, 5.0, 5.0]).reshape(1, 4, 1)
    masks = Masks(context_index=torch.tensor([[0, 3]]), target_index=torch.tensor([[[1, 2]]]))
    copied = copy_nearest_visible(latents, masks, TokenGrid(1, 1, 4))
    target = latents[:, 1:3].reshape(1, 1, 2, 1)
    assert VarianceSums.between(copied, target).explained_variance == 1
