import pytest
import torch
from pydantic import ValidationError

from worldmodel_train.losses.dense import ContextLoss, context_loss, distances_to_targets
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(frames=3, height=4, width=5)


def places(grid=GRID):
    return torch.cartesian_prod(*(torch.arange(side) for side in grid)).float()


def some_targets(seed=0, sets=2, targets=3):
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(GRID.num_tokens, generator=generator)[:targets] for _ in range(sets)]
    return torch.stack(drawn)[None]


def test_distances_are_those_to_the_nearest_of_all_targets_one_by_one():
    index = some_targets()
    found = distances_to_targets(index, GRID)
    apart = torch.cdist(places()[None], places()[index[0]]).amin(dim=-1)
    # roots of whole numbers: cdist of so few does not go by products
    torch.testing.assert_close(found[0], apart, rtol=1e-6, atol=1e-6)


def test_a_target_is_at_distance_zero_and_its_neighbours_at_one():
    found = distances_to_targets(torch.tensor([[[27]]]), GRID)[0, 0].unflatten(0, GRID)
    assert found[1, 1, 2] == 0
    for neighbour in ((0, 1, 2), (2, 1, 2), (1, 0, 2), (1, 2, 2), (1, 1, 1), (1, 1, 3)):
        assert found[neighbour] == 1
    assert found[2, 3, 4] == pytest.approx((1 + 4 + 4) ** 0.5)


def test_targets_that_are_padding_are_not_near():
    index = some_targets(targets=3)
    valid = torch.tensor([[[True, True, False], [True, False, False]]])
    found = distances_to_targets(index, GRID, valid)
    for own, kept in ((0, 2), (1, 1)):
        alone = distances_to_targets(index[:, [own], :kept], GRID)
        assert torch.equal(found[:, [own]], alone)


def test_the_loss_is_the_mean_error_over_the_root_of_the_distance():
    """Errors of 2 at 1 and of 6 at 4 tokens: (2 / 1 + 6 / 2) / 2."""
    target = torch.zeros(1, 1, 2, 3)
    predicted = torch.tensor([2.0, -6.0])[None, None, :, None].expand(1, 1, 2, 3)
    distance = torch.tensor([[[1.0, 4.0]]])
    assert context_loss(predicted, target, distance) == pytest.approx(2.5)
    assert ContextLoss().loss(predicted, target, distance) == pytest.approx(2.5)
    assert ContextLoss(far="alike").loss(predicted, target, distance) == pytest.approx(4.0)


def test_padding_neither_counts_nor_spoils_the_gradient():
    predicted = torch.ones(1, 1, 2, 3, requires_grad=True)
    distance = torch.tensor([[[1.0, 0.0]]])  # a padded id may be a target's
    valid = torch.tensor([[[True, False]]])
    loss = context_loss(predicted, torch.zeros(1, 1, 2, 3), distance, valid)
    loss.backward()
    assert loss == 1
    assert predicted.grad[0, 0, 1].eq(0).all()
    assert predicted.grad.isfinite().all()


@pytest.mark.parametrize(
    ("step", "weight"),
    [(0, 0.0), (14_999, 0.0), (15_000, 0.0), (22_500, 0.25), (30_000, 0.5), (10**6, 0.5)],
)
def test_the_weight_grows_by_a_line_between_two_steps(step, weight):
    assert ContextLoss().weight_at(step) == weight


def test_the_weight_may_be_there_from_the_start_or_jump():
    assert ContextLoss(from_step=0, full_at=0).weight_at(0) == 0.5
    jump = ContextLoss(from_step=5, full_at=5)
    assert (jump.weight_at(4), jump.weight_at(5)) == (0.0, 0.5)


def test_a_weight_that_grows_backwards_is_refused():
    with pytest.raises(ValidationError, match="use full_at=5 or more"):
        ContextLoss(from_step=5, full_at=4)
