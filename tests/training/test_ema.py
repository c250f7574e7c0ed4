import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.ema import Ema


def make_pair() -> EmaPair:
    torch.manual_seed(0)
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return EmaPair(
        student=student, teacher=copy.deepcopy(student).requires_grad_(requires_grad=False)
    )


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 1), st.integers(1, 20))
def test_after_n_steps_on_a_fixed_student_the_distance_is_momentum_to_the_n(momentum, steps):
    pair = make_pair()
    nn.init.constant_(pair.student[0].weight, 1.0)
    nn.init.constant_(pair.teacher[0].weight, 3.0)
    ema = Ema([pair])
    for _ in range(steps):
        ema.update(momentum)
    expected = torch.full((4, 3), 1.0 + 2.0 * momentum**steps)
    torch.testing.assert_close(pair.teacher[0].weight.data, expected, rtol=1e-5, atol=1e-6)


def test_momentum_one_leaves_the_teacher_and_zero_copies_the_student():
    pair = make_pair()
    before = copy.deepcopy(pair.teacher.state_dict())
    nn.init.normal_(pair.student[0].weight)
    Ema([pair]).update(1.0)
    assert torch.equal(pair.teacher[0].weight, before["0.weight"])
    Ema([pair]).update(0.0)
    assert torch.equal(pair.teacher[0].weight, pair.student[0].weight)


def test_buffers_are_copied():
    pair = make_pair()
    pair.student(torch.randn(8, 3))
    Ema([pair]).update(0.9)
    for name, buffer in pair.student.named_buffers():
        assert torch.equal(buffer, dict(pair.teacher.named_buffers())[name])
    assert pair.teacher[1].num_batches_tracked == 1


def test_slow_teachers_move_though_each_step_is_small():
    # in bf16 nearly half of the elements would never move at this momentum
    pair = make_pair()
    start = pair.teacher[0].weight.clone()
    pair.student[0].weight.data += 0.01
    ema = Ema([pair])
    for _ in range(1000):
        ema.update(0.99925)
    moved = (pair.teacher[0].weight - start) / 0.01
    torch.testing.assert_close(moved, torch.full((4, 3), 1 - 0.99925**1000), rtol=1e-3, atol=0)


def test_a_teacher_that_would_be_trained_is_refused():
    pair = make_pair()
    pair.teacher.requires_grad_(requires_grad=True)
    with pytest.raises(AssertionError, match="trained"):
        Ema([pair])


def test_a_bf16_teacher_is_refused():
    pair = make_pair()
    pair.teacher.to(torch.bfloat16)
    with pytest.raises(AssertionError, match="bfloat16"):
        Ema([pair])


def test_a_teacher_of_another_structure_is_refused():
    pair = make_pair()
    with pytest.raises(AssertionError, match="structure"):
        Ema([EmaPair(student=pair.student, teacher=pair.teacher[0])])
