"""What is hidden does not reach predictions, slots have no order, and actions count."""

import pytest
import torch

from worldmodel_train.models.slot_predictor import SlotPredictorConfig

HISTORY, FRAMES, SLOTS, WIDTH = 3, 5, 4, 16


@pytest.fixture
def predictor():
    torch.manual_seed(0)
    size = SlotPredictorConfig(depth=2, heads=2, mlp_ratio=2.0)
    predictor = size.build(WIDTH, frames=FRAMES, actions=2, states=3)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return predictor.eval()


@pytest.fixture
def seen():
    return torch.randn(2, HISTORY, SLOTS, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def told():
    generator = torch.Generator().manual_seed(2)
    actions = torch.randn(2, FRAMES - 1, 2, generator=generator)
    return actions, torch.randn(2, HISTORY, 3, generator=generator)


def hidden(*slots):
    mask = torch.zeros(2, SLOTS, dtype=torch.bool)
    mask[:, list(slots)] = True
    return mask


def test_a_hidden_slot_gives_its_first_frame_and_no_other(predictor, seen, told):
    seen.requires_grad_()
    slots, states = predictor(seen, hidden(1), *told)
    (slots.square().sum() + states.square().sum()).backward()
    gradient = seen.grad.abs().amax(dim=(0, 3))
    assert not gradient[1:, 1].any()
    assert gradient[0, 1] > 0
    assert (gradient[:, [0, 2, 3]] > 0).all()


def test_where_a_hidden_slot_is_said_to_go_hangs_on_who_it_is(predictor, seen, told):
    other = seen.clone()
    other[:, 0, 1] += 1
    before, after = (predictor(slots, hidden(1), *told)[0] for slots in (seen, other))
    assert (before - after)[:, 1:, 1].abs().amax(dim=-1).min() > 1e-3


def test_slots_come_in_the_order_in_which_they_are_given(predictor, seen, told):
    order = torch.tensor([2, 0, 3, 1])
    mask = hidden(0)
    slots, states = predictor(seen, mask, *told)
    moved, felt = predictor(seen[:, :, order], mask[:, order], *told)
    # fp32: attention adds up in another order
    torch.testing.assert_close(moved, slots[:, :, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(felt, states, rtol=1e-4, atol=1e-5)


def test_actions_and_states_are_nodes_that_slots_hear_of(predictor, seen, told):
    actions, states = (one.requires_grad_() for one in told)
    slots, _ = predictor(seen, hidden(), actions, states)
    slots[:, -1].square().sum().backward()
    assert (actions.grad.abs().amax(dim=(0, 2)) > 0).all()
    assert (states.grad.abs().amax(dim=(0, 2)) > 0).all()


def test_any_number_of_slots_will_do(predictor, seen, told):
    slots, _ = predictor(seen[:, :, :2], hidden()[:, :2], *told)
    assert slots.shape == (2, FRAMES, 2, WIDTH)
