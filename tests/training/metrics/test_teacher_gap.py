import copy

import pytest
import torch
from torch import nn

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.layouts.in_place import InPlace
from worldmodel_train.training.metrics.teacher_gap import relative_gap, squared_gap, student_names


class Pair(nn.Module):
    """A student and its copy, beside what no teacher follows."""

    def __init__(self):
        super().__init__()
        self.student = nn.Linear(3, 2)
        self.teacher = copy.deepcopy(self.student).requires_grad_(requires_grad=False)
        self.other = nn.Linear(2, 2)

    def pairs(self):
        return [EmaPair(student=self.student, teacher=self.teacher)]


def gap(module):
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad])
    module.other(module.student(torch.ones(1, 3))).sum().backward()
    for parameter in module.parameters():
        parameter.grad = None if parameter.grad is None else torch.zeros_like(parameter)
    optimizer.param_groups[0]["weight_decay"] = 0.0
    optimizer.step()
    layout = InPlace(module, module.pairs(), optimizer)
    sums = squared_gap(layout, student_names(module, module.pairs()))
    return {name: value.item() for name, value in sums.items()}


def test_the_distance_is_relative_to_the_student_whatever_else_is_trained():
    module = Pair()
    with torch.no_grad():
        for parameter in module.teacher.parameters():
            parameter.mul_(0.75)
    assert relative_gap(gap(module))["monitors/teacher_distance"] == pytest.approx(0.25)


def test_what_is_not_trained_is_no_part_of_the_distance():
    module = Pair()
    module.student.bias.requires_grad_(requires_grad=False)
    names = student_names(module, module.pairs())
    assert names == {"teacher.weight": "student.weight"}


def test_a_copy_has_no_distance():
    assert relative_gap(gap(Pair())) == {"monitors/teacher_distance": 0}


def test_sums_over_slices_are_those_of_the_whole():
    whole, half = {"teacher_gap": 9.0, "teacher_students": 4.0}, {}
    assert relative_gap(dict(whole))["monitors/teacher_distance"] == 1.5
    assert relative_gap(half) == {}
