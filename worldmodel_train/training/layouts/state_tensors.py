"""Which tensors of an objective are trained, which follow, and which are buffers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from worldmodel_train.protocols import EmaPair


class Followed(NamedTuple):
    """A teacher's parameter and the student's that it follows."""

    name: str
    """The teacher's name in the objective's state."""
    teacher: nn.Parameter
    student: nn.Parameter
    momentum: float | None
    """The pair's own, None for the schedule's."""


@dataclass(frozen=True, kw_only=True)
class StateTensors:
    """All tensors of an objective by what happens to them in training."""

    trained: Mapping[str, nn.Parameter]
    followed: Sequence[Followed]
    """Teachers of what is trained."""
    frozen: Mapping[str, nn.Parameter]
    """What is not trained, and its teachers: all of these stay as they are."""
    buffers: Mapping[str, Tensor]
    """The persistent ones."""
    followed_buffers: Sequence[tuple[Tensor, Tensor]]
    """Student's and teacher's."""

    def copy_buffers(self) -> None:
        """Gives teachers their students' buffers."""
        for student, teacher in self.followed_buffers:
            teacher.copy_(student)


def part_of(name: str) -> str:
    """The child of the objective that a tensor of this name belongs to."""
    return name.partition(".")[0]


def state_tensors(objective: nn.Module, pairs: Sequence[EmaPair]) -> StateTensors:
    """The tensors; call it when the tensors are on their device, for moving replaces buffers."""
    state = objective.state_dict(keep_vars=True)
    parameters = {name: t for name, t in state.items() if isinstance(t, nn.Parameter)}
    names = {id(parameter): name for name, parameter in parameters.items()}
    followed = [entry for pair in pairs for entry in _followed(pair, names)]
    teachers = {entry.name for entry in followed}
    return StateTensors(
        trained={name: p for name, p in parameters.items() if p.requires_grad},
        followed=followed,
        frozen={
            name: p
            for name, p in parameters.items()
            if not p.requires_grad and name not in teachers
        },
        buffers={name: t for name, t in state.items() if name not in parameters},
        followed_buffers=[entry for pair in pairs for entry in _followed_buffers(pair)],
    )


def _followed(pair: EmaPair, names: Mapping[int, str]) -> list[Followed]:
    students = dict(pair.student.named_parameters())
    teachers = dict(pair.teacher.named_parameters())
    assert students.keys() == teachers.keys(), "teacher and student differ in structure"
    for name, teacher in teachers.items():
        assert not teacher.requires_grad, f"the teacher's {name} would be trained"
    return [
        Followed(names[id(teacher)], teacher, students[name], pair.momentum)
        for name, teacher in teachers.items()
        if students[name].requires_grad
    ]


def _followed_buffers(pair: EmaPair) -> list[tuple[Tensor, Tensor]]:
    buffers = dict(pair.teacher.named_buffers())
    return [(buffer, buffers[name]) for name, buffer in pair.student.named_buffers()]
