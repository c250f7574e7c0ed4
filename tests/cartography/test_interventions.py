"""Edits change latents along their direction by what was asked, and across it not at all."""

import pytest
import torch

from worldmodel_train.cartography.interventions import (
    ablated,
    random_directions,
    steered,
    swapped,
)

LATENTS = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0))
ALONG = torch.tensor([3.0, 4.0, *[0.0] * 6])  # of length 5


def split(latents):
    """The component along the direction, and what is left across it."""
    along = latents @ ALONG / 5
    return along, latents - along[..., None] * ALONG / 5


def test_a_push_is_as_long_as_asked_whatever_the_length_of_the_direction():
    (before, across), (after, still) = split(LATENTS), split(steered(LATENTS, ALONG, -2.5))
    torch.testing.assert_close(after, before - 2.5)
    torch.testing.assert_close(still, across)


def test_only_chosen_tokens_are_pushed():
    chosen = torch.zeros(4, 3, dtype=torch.bool)
    chosen[1, 2] = True
    moved = (steered(LATENTS, ALONG, 1.0, chosen) - LATENTS).norm(dim=-1)
    torch.testing.assert_close(moved, chosen.float())


def test_what_is_taken_out_is_what_the_mean_has():
    mean = LATENTS.mean(dim=(0, 1))
    (_, across), (after, still) = split(LATENTS), split(ablated(LATENTS, ALONG, mean))
    torch.testing.assert_close(after, split(mean)[0].expand(4, 3))
    torch.testing.assert_close(still, across)


def test_a_swap_takes_the_donors_component_and_no_more():
    donors = torch.tensor([1, 0, 3, 2])
    (before, across), (after, still) = split(LATENTS), split(swapped(LATENTS, ALONG, donors))
    torch.testing.assert_close(after, before[donors])
    torch.testing.assert_close(still, across)
    torch.testing.assert_close(swapped(swapped(LATENTS, ALONG, donors), ALONG, donors), LATENTS)


def test_a_direction_without_length_is_refused():
    with pytest.raises(ValueError, match="points nowhere"):
        steered(LATENTS, torch.zeros(8), 1.0)


def test_random_directions_have_length_1_and_favour_none():
    drawn = random_directions(4000, 8, seed=0)
    assert torch.equal(drawn, random_directions(4000, 8, seed=0))
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(4000))
    torch.testing.assert_close(drawn.T @ drawn / 4000, torch.eye(8) / 8, atol=0.02, rtol=0)
