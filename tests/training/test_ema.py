import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.training.ema import Ema


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 1), st.integers(1, 20))
def test_after_n_steps_on_a_fixed_student_the_distance_is_momentum_to_the_n(momentum, steps):
    student, teacher = torch.full((4, 3), 1.0), torch.full((4, 3), 3.0)
    ema = Ema([student], [teacher])
    for _ in range(steps):
        ema.update(momentum)
    expected = torch.full((4, 3), 1.0 + 2.0 * momentum**steps)
    torch.testing.assert_close(teacher, expected, rtol=1e-5, atol=1e-6)


def test_momentum_one_leaves_the_teacher_and_zero_copies_the_student():
    student, teacher = torch.randn(4, 3), torch.zeros(4, 3)
    Ema([student], [teacher]).update(1.0)
    assert torch.equal(teacher, torch.zeros(4, 3))
    Ema([student], [teacher]).update(0.0)
    assert torch.equal(teacher, student)


def test_slow_teachers_move_though_each_step_is_small():
    # in bf16 nearly half of the elements would never move at this momentum
    teacher = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    start, student = teacher.clone(), teacher + 0.01
    ema = Ema([student], [teacher])
    for _ in range(1000):
        ema.update(0.99925)
    moved = (teacher - start) / 0.01
    torch.testing.assert_close(moved, torch.full((4, 3), 1 - 0.99925**1000), rtol=1e-3, atol=0)


def test_a_bf16_teacher_is_refused():
    with pytest.raises(AssertionError, match="bfloat16"):
        Ema([torch.zeros(2)], [torch.zeros(2, dtype=torch.bfloat16)])


def test_a_pair_with_a_momentum_of_its_own_does_not_follow_the_schedule():
    students = [torch.ones(2), torch.ones(3)]
    teachers = [torch.zeros(2), torch.zeros(3)]
    Ema(students, teachers, [None, 0.75]).update(0.5)
    assert torch.equal(teachers[0], torch.full((2,), 0.5))
    assert torch.equal(teachers[1], torch.full((3,), 0.25))
    Ema(students[1:], teachers[1:], [0.0]).update(None)
    assert torch.equal(teachers[1], torch.ones(3))
