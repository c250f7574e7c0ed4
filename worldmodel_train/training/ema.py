"""Teachers that follow their students.

A sharded strategy replaces `Ema` by a class with the same two members, which keeps fp32 shards
beside the optimizer's masters; see `training/strategy.py`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from worldmodel_train.protocols import EmaPair


class Ema:
    """Moves every teacher towards its student; called once after each *optimizer* step.

    Teachers are fp32, as weights are under bf16 autocast: in bf16 most elements would never move,
    because 1 - momentum is below the rounding of the weight. Build it when the modules are on their
    device: moving a module replaces its buffers.
    """

    def __init__(self, pairs: Sequence[EmaPair]) -> None:
        self._students: list[Tensor] = []
        self._teachers: list[Tensor] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []
        for pair in pairs:
            self._add(pair)

    def __bool__(self) -> bool:
        """Whether anything follows anything."""
        return bool(self._teachers)

    @torch.no_grad()
    def update(self, momentum: float) -> None:
        """Sets teacher = momentum * teacher + (1 - momentum) * student; copies buffers."""
        if self._teachers:
            torch._foreach_lerp_(self._teachers, self._students, 1.0 - momentum)  # pyright: ignore[reportPrivateImportUsage]  # no public name
        for student, teacher in self._buffers:
            teacher.copy_(student)

    def _add(self, pair: EmaPair) -> None:
        students = dict(pair.student.named_parameters())
        teachers = dict(pair.teacher.named_parameters())
        assert students.keys() == teachers.keys(), "teacher and student differ in structure"
        for name, teacher in teachers.items():
            assert not teacher.requires_grad, f"the teacher's {name} would be trained"
            assert teacher.dtype == torch.float32, f"the teacher's {name} is {teacher.dtype}"
            self._students.append(students[name])
            self._teachers.append(teacher)
        buffers = dict(pair.teacher.named_buffers())
        self._buffers += [(b, buffers[name]) for name, b in pair.student.named_buffers()]
