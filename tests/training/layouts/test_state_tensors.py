import copy

import pytest
import torch
from torch import nn

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.layouts.state_tensors import state_tensors


def objective() -> nn.ModuleDict:
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    teacher = copy.deepcopy(student).requires_grad_(requires_grad=False)
    fixed = nn.Linear(2, 2, bias=False).requires_grad_(requires_grad=False)
    return nn.ModuleDict({"student": student, "teacher": teacher, "fixed": fixed})


def pair(parts: nn.ModuleDict) -> EmaPair:
    return EmaPair(student=parts["student"], teacher=parts["teacher"])


def test_every_tensor_of_the_state_has_one_role():
    parts = objective()
    tensors = state_tensors(parts, [pair(parts)])
    followed = [entry.name for entry in tensors.followed]
    names = [*tensors.trained, *followed, *tensors.frozen, *tensors.buffers]
    assert sorted(names) == sorted(parts.state_dict())
    assert list(tensors.frozen) == ["fixed.weight"]
    assert all(name.startswith("student.") for name in tensors.trained)
    assert all(name.startswith("teacher.") for name in followed)


def test_teachers_and_students_are_the_tensors_themselves():
    parts = objective()
    tensors = state_tensors(parts, [pair(parts)])
    for entry in tensors.followed:
        assert entry.teacher is dict(parts.named_parameters())[entry.name]
        assert entry.student is tensors.trained[entry.name.replace("teacher", "student")]
    for student, teacher in tensors.followed_buffers:
        assert student is not teacher
        assert torch.equal(student, teacher)


def test_what_is_not_trained_and_its_teacher_stay_as_they_are():
    parts = objective()
    parts["student"][0].requires_grad_(requires_grad=False)
    tensors = state_tensors(parts, [pair(parts)])
    assert {entry.name for entry in tensors.followed} == {"teacher.1.weight", "teacher.1.bias"}
    of_linear = {
        f"{part}.0.{leaf}" for part in ("student", "teacher") for leaf in ("weight", "bias")
    }
    assert tensors.frozen.keys() == of_linear | {"fixed.weight"}


def test_a_teacher_that_would_be_trained_is_refused():
    parts = objective()
    parts["teacher"].requires_grad_(requires_grad=True)
    with pytest.raises(AssertionError, match="trained"):
        state_tensors(parts, [pair(parts)])


def test_a_teacher_of_another_structure_is_refused():
    parts = objective()
    with pytest.raises(AssertionError, match="structure"):
        state_tensors(parts, [EmaPair(student=parts["student"], teacher=parts["teacher"][0])])
