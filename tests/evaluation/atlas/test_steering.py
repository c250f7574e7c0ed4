"""On a predictor of which all is known: edits along a state move it, and random ones do not."""

import numpy as np
import pytest
import torch

from tests.evaluation.atlas.conftest import EDITED, WIDTH, Persists
from worldmodel_train.evaluation.atlas.foresight import Quarters, look_ahead
from worldmodel_train.evaluation.atlas.readers import SHIFT, WEIGHTS, readers_of
from worldmodel_train.evaluation.atlas.steering import ANY, MIXED, STRENGTHS, steer
from worldmodel_train.types import TokenGrid


@pytest.fixture(scope="module")
def steered(clips, states):
    ahead = look_ahead(Persists(), clips, edited=EDITED)
    return ahead, {one.reader.state.name: one for one in steer(ahead, readers_of(ahead, states))}


def test_a_push_along_a_state_moves_what_is_read_by_its_length(steered):
    ahead, found = steered
    expected = ahead.spread / 2 / found["shown"].reader.spread[0]  # four quarters share it
    for strength in STRENGTHS:
        moved = found["shown"].pushed[SHIFT][strength].along
        assert moved == pytest.approx(strength * expected, rel=0.15)
    assert found["shown"].gain(WEIGHTS).along == pytest.approx(expected, rel=0.15)
    assert found["shown"].moves


def test_a_random_push_of_the_same_length_hardly_moves_it(steered):
    _, found = steered
    gain = found["shown"].gain()
    assert gain.band(ANY) < 3 / np.sqrt(4 * WIDTH) * gain.along
    assert max(map(abs, gain.by_luck[ANY])) < gain.along / 2


def test_a_random_mixture_of_films_moves_it_by_no_more_than_its_part_of_them(steered):
    """All channels of a film vary alike, and all quarters show the same of them."""
    _, found = steered
    gain = found["shown"].gain()
    assert 1 / np.sqrt(WIDTH) * gain.along < gain.band(MIXED) < 3 / np.sqrt(WIDTH) * gain.along


def test_taking_a_state_out_or_swapping_it_changes_what_is_read_accordingly(steered):
    _, found = steered
    for effect in (found["shown"].removed, found["shown"].swapped):
        assert effect.along == pytest.approx(1, abs=0.15)
        assert effect.band(ANY) < 0.2


def test_what_predictions_do_not_tell_is_said_to_be_unknown(steered):
    _, found = steered
    assert found["shown"].reader.read_from_future > 0.9
    assert found["shown"].reader.knows
    assert not found["unrelated"].reader.knows


def test_a_state_that_never_varies_is_left_out(steered):
    _, found = steered
    assert found.keys() == {"shown", "high", "unrelated"}


def test_nothing_changes_without_an_edit(steered):
    ahead, _ = steered
    np.testing.assert_allclose(ahead.after(ahead.moments), ahead.future[-EDITED:], atol=1e-6)


@pytest.mark.parametrize("grid", [TokenGrid(2, 4, 4), TokenGrid(2, 3, 5), TokenGrid(2, 1, 2)])
def test_moments_that_are_moved_are_the_means_of_tokens_that_are(grid):
    generator = torch.Generator().manual_seed(0)
    quarters = Quarters.of(grid)
    tokens = torch.randn(3, grid.num_tokens, 6, generator=generator)
    push = torch.randn_like(quarters.mean(tokens))
    moved = quarters.mean(tokens + quarters.to_tokens(push))
    torch.testing.assert_close(moved, quarters.mean(tokens) + push)
